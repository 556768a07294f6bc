"""Accuracy on the validation pictures after a few epochs of training: what a search is for.

With so few steps networks learn too little at the usual learning rate to be told apart; at this one
the better ones of a kind are ahead, and no normalised network that was tried diverged.
"""

from archsearch.objectives import Trained

objective = Trained(name="accuracy", recipe={"learning_rate": 6e-3})
