"""The solvers of other libraries for a cell."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jaxlinear as jl
from benchmarks.grid.cells import Cell
from benchmarks.rivals import convex, libraries

NEWTON = 2_000  # coefficients of which a rival may hold a Hessian


class Way(NamedTuple):
    """A rival as a function of its tolerance."""

    name: str
    fit: Callable[[float], Any]
    compiles: bool = False
    threads: bool = True  # of BLAS, which can be limited
    missing: str | None = None  # why it takes no part


def ways(cell: Cell, x, y) -> list[Way]:
    found = [
        Way(f"scikit-learn, {solver}", sklearn(cell, x, y, solver), missing=_absent("sklearn"))
        for solver in solvers(cell)
    ]
    if cell.loss in ("poisson", "gamma"):
        fit = functools.partial(convex.glum_glm, x, y, cell.l2, cell.loss)
        found.append(Way("glum", fit, missing=_absent("glum")))
    return found if cell.loss == "labels" else [*found, _optax(cell, x, y)]


def _absent(library: str) -> str | None:
    reason = libraries.absent(library)
    return reason and f"ImportError: {reason}"


def solvers(cell: Cell) -> list[str]:
    if cell.loss == "huber":  # scikit-learn's has a scale of its own to fit
        return []
    hessian = cell.d * (cell.k if cell.function == "softmax_cross_entropy" else 1) <= NEWTON
    quadratic = ["newton-cg"] if cell.function in ("logistic", "softmax_cross_entropy") else []
    return ["lbfgs", *quadratic, *["newton-cholesky"] * hessian]


def sklearn(cell: Cell, x, y, solver: str) -> Callable:
    if cell.loss in ("poisson", "gamma"):
        return functools.partial(convex.sklearn_glm, x, y, cell.l2, cell.loss, solver)
    of = convex.sklearn_labels if cell.loss == "labels" else convex.sklearn_logistic
    return functools.partial(of, x, y, cell.l2, solver)


def _optax(cell: Cell, x, y) -> Way:
    zero = jl.zeros(cell.d, cell.k if cell.function == "softmax_cross_entropy" else None)
    loss, data = getattr(jl.losses, cell.function), jl.Batch(*libraries.on_jax(x, y))
    fit = convex.optax_lbfgs_compiled(loss, data, cell.l2, zero)
    return Way("optax, lbfgs", fit, compiles=True, threads=False)
