"""What every test shares: drawn inputs are the same on every run, unless asked to explore.

``HYPOTHESIS_PROFILE=explore pytest`` draws new inputs each time.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from archsearch.design import Design

os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a process for every core already
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what is in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests press Ctrl-C

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))


@pytest.fixture
def finished() -> Callable[..., Design]:
    """A finished design around published networks, as if a search had found them: what becomes of a
    design can then be tested without searching."""

    def make(*models: str, **changes: Any) -> Design:
        from archsearch.budget import Budget
        from archsearch.design import Design, Designed
        from archsearch.models import get

        networks = tuple(
            Designed(get(name), (), 1234.5 - i, 0.00397 + i / 1234.5)
            for i, name in enumerate(models or ["efficientnet_b0"])
        )
        design = Design(
            networks=networks,
            bound=1239.4,
            status="gap reached",
            budgets=(Budget("params", 6_000_000), Budget("macs", 400_000_000)),
            default_budgets=("macs",),
            ranges={"params": (1_000_000, 30_000_000), "macs": (50_000_000, 3_000_000_000)},
            shadow_prices={"params": 2e-4, "macs": 0.0},
            trace=((0.1, None, 5000.0), (0.3, 1100.0, 2000.0), (2.1, 1234.5, 1239.4)),
            nodes=812,
            space_name="mobile",
            objective_name="deepmad",
            seed=0,
            seconds=2.1,
        )
        return replace(design, **changes)

    return make


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def designs(finished: Callable[..., Design], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Lets the command design without searching: it gives the ``outcome`` (a design, or an
    exception to raise) and keeps what it was ``asked`` for."""
    import archsearch.design  # noqa: F401  (the module behind the function of that name)

    state: dict[str, Any] = {"outcome": finished()}

    def design(budgets: Any, space: Any, objective: Any, **settings: Any) -> Any:
        state["asked"] = {"budgets": budgets, "space": space, "objective": objective, **settings}
        settings["on_progress"](0.5, None, 5000.0, 1)
        settings["on_progress"](1.0, 1000.0, 2000.0, 10)
        if isinstance(state["outcome"], BaseException):
            raise state["outcome"]
        return state["outcome"]

    module = sys.modules["archsearch.design"]
    monkeypatch.setattr(module, "design", design)
    monkeypatch.setattr(module, "reachable", lambda *_: dict(finished().ranges))
    return state
