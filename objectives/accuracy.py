"""Accuracy on the validation pictures after a few epochs of training: what a search is for."""

from archsearch.objectives import Trained

objective = Trained(name="accuracy")
