"""DeepMAD's entropy as the paper defines it (Shen et al. 2023): the default objective."""

from archsearch.objectives import Entropy

objective = Entropy(
    name="deepmad",
    origin="Shen et al., DeepMAD: Mathematical Architecture Design, CVPR 2023, section 3",
)
