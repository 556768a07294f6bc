"""Training-free judgements of a network that is built and run with fresh weights: one file each.

Each function takes an architecture and a seed, draws weights and input under the seed alone, leaves
PyTorch's random state as it was, and gives one number; higher is better. PyTorch is imported when
one is called. ``objectives/`` makes scores of them, by the names that the command line knows.
"""
