"""The fit from a Gram matrix and a given factor of it, with derivatives and report."""

import jax
import jax.numpy as jnp

from jaxlinear.endings import status_of
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg import factor, implicit
from jaxlinear.linalg.factor import Factor
from jaxlinear.linalg.products import matmul, two_norm
from jaxlinear.loops import when
from jaxlinear.types import Fit, Linear, Report


def stopped_factor(gram: Gram, l2) -> Factor:
    """The factor of xx + α I, α = l2 Σ w, which no derivative passes through."""
    xx, alpha = jax.lax.stop_gradient((gram.xx, gram.weight * l2))
    if alpha.ndim:
        return factor.shifted(factor.spectrum(xx), alpha)
    matrix = xx + alpha * jnp.eye(len(xx), dtype=xx.dtype)
    quick = factor.cholesky(matrix)
    return when(~factor.reliable(quick), factor.from_eigenvalues, matrix, quick)


def fit_from(gram: Gram, alpha, inverse: Factor) -> Fit:
    """The fit of a centred Gram, from the factor ``inverse`` and α (1 or k, 1 or d)."""
    data = (gram.xx, gram.xy, alpha)
    inverse = jax.lax.stop_gradient(inverse)
    w = factor.solve(inverse, jax.lax.stop_gradient(gram.xy))
    w = implicit.optimum(_gradient, factor.solve, w, inverse, data)
    b = gram.mean_y - matmul(w, gram.mean_x)
    return Fit(Linear(w, b), report_of(gram, alpha, inverse, w))


def _gradient(w, data):
    xx, xy, alpha = data
    return matmul(w, xx) + alpha * w - xy


def report_of(gram: Gram, alpha, inverse: Factor, w) -> Report:
    """The report of a solution that was computed from the statistics alone."""
    gradient = _gradient(w, (gram.xx, gram.xy, alpha))
    # ½ (yy − w xy + w (w xx + α w − xy)): two terms that are small each, not three large ones.
    squares = jnp.sum(gram.yy) - jnp.sum(w * gram.xy) + jnp.sum(w * gradient)
    objective = jnp.maximum(squares, 0) / 2 / gram.weight
    norm = two_norm(gradient / gram.weight)
    finite = jnp.isfinite(objective + norm) & (gram.weight != 0)
    short = jnp.min(inverse.rank) < gram.xx.shape[-1]
    status = status_of(finite, short, factor.reliable(inverse))
    return Report(status, jnp.int32(1), objective, norm, jnp.min(inverse.rank))
