"""Of published networks made of the same kinds of layers in the same kinds of blocks, the smallest:
for tests that build modules, as larger members differ in numbers alone."""

from __future__ import annotations

from archsearch import models


def _representatives() -> list[str]:
    smallest: dict[object, tuple[int, str]] = {}
    for name in models.MODELS:
        network = models.get(name)
        root = network.trace()
        layers = {(type(node.op), type(node.op).__module__) for node in root.nodes()}
        kind = frozenset(scope.kind for scope in root.scopes()), frozenset(layers)
        params = sum(node.op.params(*node.x) for node in root.nodes())
        smallest[kind] = min(smallest.get(kind, (2**63, "")), (params, name))
    return sorted(name for _, name in smallest.values())


REPRESENTATIVES = _representatives()
