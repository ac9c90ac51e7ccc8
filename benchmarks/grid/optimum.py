"""The lowest objective of a cell, and how far others are above it."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import harness
from benchmarks.grid.cells import Cell
from benchmarks.grid.trial import PATIENCE, Trial, stopped_after
from benchmarks.grid.ways import sklearn
from benchmarks.harness import Rival
from benchmarks.rivals import libraries

NEAR = 1e-6
_ORACLE = 500  # coefficients of which scikit-learn's Newton method in float64 is the first oracle


def own(rival: Rival, objective: Callable) -> tuple[Rival, Trial]:
    """The first call, which compiles, and one more, which tells how many there may be."""
    try:
        first = harness.clock(rival.run)[0]
        seconds, params = harness.clock(rival.run)
        return rival, Trial(seconds, objective(params), first=first, answer=params)
    except Exception as error:
        return rival, Trial(np.inf, error=harness.describe(error))


def reference(cell: Cell, x, y, objective: Callable, ours: Trial, limit: float):
    """An objective in float64 that does not hang on the rivals being near.

    Where a Hessian is small it is scikit-learn's, which shares no code with us. Elsewhere it is
    ours in float64 from where float32 has ended, and if that is not proven to be the optimum,
    scikit-learn's too.
    """
    best = np.array(np.inf)
    small = cell.d * (cell.k if cell.loss == "classes" else 1) <= _ORACLE
    oracle = _oracle(cell, x, y, "newton-cholesky" if small else "lbfgs")
    proven = False
    if not (small and oracle):
        params, proven = in_float64(cell, x, y, ours)
        best = np.fmin(best, objective(params) if params else np.inf)
    if oracle and not proven:
        with contextlib.suppress(Exception), stopped_after(PATIENCE * limit):
            best = np.fmin(best, objective(oracle()))
    return best


def _oracle(cell: Cell, x, y, solver: str) -> Callable | None:
    if libraries.absent("sklearn") or cell.loss == "huber":
        return None
    return lambda: sklearn(cell, x.astype(np.float64), y, solver)(1e-9)


def in_float64(cell: Cell, x, y, ours: Trial) -> tuple[Any, bool]:
    """Parameters, and whether the report proves them to be the optimum."""
    try:
        with jax.enable_x64(True):
            x = x.astype(np.float64)
            y = y.astype(np.float64) if y.dtype == np.float32 else y
            start = ours.answer and jl.Linear(*(np.asarray(p, np.float64) for p in ours.answer))
            loss = getattr(jl.losses, cell.function)
            classes = cell.k if cell.function == "softmax_cross_entropy" else None
            fit = jl.glm(loss, x, y, cell.l2, outputs=classes, init=start, tol=1e-10)
            gap = np.max(fit.report.gap / np.abs(fit.report.objective))
            return jl.Linear(*map(np.asarray, fit.params)), bool(gap <= NEAR / 10)
    except Exception:  # no answer is no reason to lose those of the rivals
        return None, False


def lowest(best, trials: list[Trial]):
    """Of every output the lowest objective so far."""
    for trial in trials:
        best = np.fmin(best, trial.objective)
    return best


def gap(objective, best) -> float:
    """How far above the best, relative to it; of several outputs the farthest."""
    return float(np.max((objective - best) / np.abs(best)))
