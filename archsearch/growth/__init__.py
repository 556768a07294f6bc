"""Growing a trained network: a larger one that computes the same, and how its weights follow.

One rule serves every transformation: two architectures are laid beside each other, and from the
labelled axes of their operators it follows whether the second can compute what the first does.
"""
