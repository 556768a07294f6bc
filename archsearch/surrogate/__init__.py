"""A Bayesian model of what is measured, as a sum over choices that a program maximises exactly.

``features`` says which terms there are, ``process`` learns how much each kind of them matters and
predicts, ``improvement`` turns predictions into what asking for a network is worth.
"""
