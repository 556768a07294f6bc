"""DeepMAD's score as its released code computes it, for comparison with published results.

It differs from the paper (objectives/deepmad.py) in ways that are reproduced and named here:
- each layer counts half its logarithm (a square root of its width), which doubles the relative
  weight of the evenness term;
- evenness is exp(standard deviation) of the stages' depths, not exp(variance); in the space of
  bottlenecks the first entry is dropped twice, so that only stages 3 and later count;
- effectiveness is checked up to the end of every level, not over the network alone;
- squeeze-and-excitation reports a map of one position, so that resolution is lost after it
  (objectives/deepmad_repaired.py is the same score without this defect);
- "FLOPs" are MACs that also count normalisation and activation (3 per element after every
  convolution) and the pooling of strided shortcuts, but not squeeze-and-excitation; parameters and
  MACs leave the classifier out.
"""

from collections.abc import Sequence

from archsearch.graph import Node
from archsearch.objectives import Entropy
from archsearch.operators.convolution import Convolution
from archsearch.operators.linear import Linear
from archsearch.operators.normalization import BatchNorm
from archsearch.poly import Number


def params(node: Node) -> Number:
    """Parameters without the classifier's."""
    return 0 if isinstance(node.op, Linear) else node.op.params(*node.x)


def macs(node: Node) -> Number:
    """The released code's FLOPs: see the head of this file."""
    if isinstance(node.op, Linear) or node.shape.positions == 1:
        return 0
    if isinstance(node.op, BatchNorm):
        return 3 * node.shape.numel
    pooled = isinstance(node.op, Convolution) and node.op.pointwise and node.op.stride > 1
    return node.op.macs(*node.x) + (node.x[0].numel if pooled else 0)


def counted_stages(kinds: Sequence[str]) -> slice:
    """Stages whose depths count: the first entry is dropped twice in the space of bottlenecks."""
    return slice(2, None) if list(kinds[:1]) == ["Bottleneck"] else slice(None)


objective = Entropy(
    name="deepmad-released",
    scale=0.5,
    spread="std",
    every_level=True,
    counted_stages=counted_stages,
    squeezed_resolution=True,
    costs={"params": params, "macs": macs},
    origin="alibaba/lightweight-neural-architecture-search at 8ccaf88, compute_deepmad.py",
)
