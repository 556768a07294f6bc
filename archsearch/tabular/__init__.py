"""Tables of measured networks as spaces: a strategy is compared on them without training.

``read_benchmark`` reads a table; its ``members`` are what a strategy searches, its ``values`` what
an evaluation would have measured.
"""

from .benchmark import Benchmark, read_benchmark
from .members import TableMembers

__all__ = ["Benchmark", "TableMembers", "read_benchmark"]
