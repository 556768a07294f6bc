"""DeepMAD's released score with one defect mended: squeeze-and-excitation keeps the resolution."""

from dataclasses import replace

from archsearch.loading import find_objective
from archsearch.objectives import Entropy

released = find_objective("deepmad_released")
assert isinstance(released, Entropy)
objective = replace(released, name="deepmad-repaired", squeezed_resolution=False)
