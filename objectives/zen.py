"""Zen-score: how much the last map changes with the input, what norms divide by given back."""

from archsearch.proxies.zen import zen
from archsearch.scores import Score

objective = Score(
    name="zen",
    function=zen,
    origin=(
        "Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, "
        "ICCV 2021, algorithm 1"
    ),
)
