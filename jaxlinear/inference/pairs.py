"""Every regressor against every target, each pair a regression with the same covariates.

By the theorem of Frisch, Waugh and Lovell the slope of one regressor beside covariates is that of
residuals on residuals, so that all correlations are one product of unit vectors, r = Z Uᵀ.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxlinear import checks
from jaxlinear.exact import statistics, tall, units
from jaxlinear.inference import log_p
from jaxlinear.linalg.products import matmul
from jaxlinear.rows.absent import power_of_two
from jaxlinear.rows.means import away_from, floating
from jaxlinear.types import Batch

_NUMBERS = 2**24  # correlations at a time: 64 MB in float32


class Pairs(NamedTuple):
    """The ``top`` regressors of each target, the most significant first.

    ``regressor`` is the column of x, or −1, with NaN beside it, where fewer than ``top`` regressors
    or the target itself vary beyond the covariates. ``slope`` is the coefficient of the regressor,
    ``t`` its statistic, and ``log_p`` the logarithm of its two-sided p-value.
    """

    regressor: Int[Array, "*outputs top"]
    slope: Float[Array, "*outputs top"]
    t: Float[Array, "*outputs top"]
    log_p: Float[Array, "*outputs top"]


def all_pairs(x, y, covariates=None, *, top: int = 1, intercept: bool = True) -> Pairs:
    """The ``top`` of the m columns of x for each of the T columns of y, by p-value.

    The regression of a pair is y_t = a + x_j slope + covariates c + errors of one variance; its t
    has n − 2 − rank(covariates) degrees of freedom, 1 more without ``intercept``. It takes 2 n m T
    operations, and room for copies of x and y beside a block of correlations, whatever m and T.
    The statistics of the pairs that are kept are computed once more, from residuals, so that
    correlations near 1 lose no digits; perfect fits have log p = −inf. Regressors and targets that
    are constant, or that covariates determine as far as the dtype can tell, are left out.

    The best p-value among m is to be adjusted: ``multiple.bonferroni`` over all m T tests is
    ``log_p + log(m T)``. MatrixEQTL, tensorQTL's ``map_nominal``; statsmodels' ``OLS`` and R's
    ``lm``, once for each pair. Not differentiable. Raises ValueError where no degrees of freedom
    are left, and for arrays that ``least_squares`` refuses.

    >>> x = jax.random.normal(jax.random.key(0), (50, 1000))
    >>> y = 2 * x[:, 7] + jax.random.normal(jax.random.key(1), (50,))
    >>> found = all_pairs(x, y, top=2)
    >>> print(found.regressor[0], found.log_p[0] < -20 < found.log_p[1])
    7 True
    """
    batch, outputs, _ = checks.examples(x, y, None, "real")
    n, m = batch.x.shape
    top = checks.count(top, "top")
    if top > m:
        raise ValueError(f"top is {top}; expected at most the {m} columns of x.")
    width = 0
    if covariates is not None:
        covariates = _checked(covariates, n, floating(batch.x[:1]).dtype)
        width = covariates.shape[1]
    if n < 2 + width + intercept:
        raise ValueError(
            f"x has {n} examples; expected at least {2 + width + intercept}, for a regressor, "
            f"{width} covariates and {'an' if intercept else 'no'} intercept."
        )
    found = _all_pairs(batch, covariates, top, bool(intercept))
    return jax.tree.map(lambda leaf: leaf.reshape(*outputs, top), jax.lax.stop_gradient(found))


def _checked(covariates, n: int, dtype) -> Float[Array, "n c"]:
    rows = checks.numeric(covariates, "covariates")
    if rows.ndim != 2 or len(rows) != n or not rows.shape[1]:
        raise ValueError(
            f"covariates has shape {rows.shape}; expected ({n}, c), a row per example of x."
        )
    if checks.is_known(rows) and not np.isfinite(np.asarray(rows)).all():
        row, column = np.argwhere(~np.isfinite(np.asarray(rows)))[0]
        raise ValueError(
            f"covariates[{row}, {column}] is {rows[row, column]}; expected finite numbers. Leave "
            "such examples out of all arguments."
        )
    return jnp.asarray(rows, dtype)


@functools.partial(jax.jit, static_argnames=("top", "intercept"))
def _all_pairs(batch: Batch, covariates, top: int, intercept: bool) -> Pairs:
    x, y = floating(batch.x).T, batch.y.reshape(len(batch.y), -1).T
    y = y.astype(x.dtype)
    basis, rank = _basis(covariates, y[:1].T, intercept)
    (x, size_x), (y, size_y) = (_unit_residuals(rows, basis, intercept) for rows in (x, y))
    regressor = _largest(x, y, top)
    freedom = jnp.asarray(x.shape[1] - 1 - intercept - rank, x.dtype)

    def of_target(target):
        row, chosen = target
        columns = x[chosen]
        r = matmul(columns, row)
        left = jnp.sum(jnp.square(row[None] - r[:, None] * columns), axis=1)  # 1 − r²
        rounding = 64 * jnp.finfo(r.dtype).eps
        t = r * jnp.sqrt(freedom / jnp.where(left > rounding * rounding, left, 0))
        return r, jnp.where(freedom > 0, t, jnp.nan)

    size = max(1, _NUMBERS // (x.shape[1] * top))
    r, t = jax.lax.map(of_target, (y, regressor), batch_size=min(size, len(y)))
    t = jnp.where(regressor < 0, jnp.nan, t)
    slope = jnp.where(regressor < 0, jnp.nan, r * (size_y[:, None] / size_x[regressor]))
    return Pairs(regressor, slope, t, log_p.t(t, freedom))


def _basis(covariates, y: Float[Array, "n 1"], intercept: bool):
    """Orthonormal columns (n, c) with the span of the covariates, and their rank; or (None, 0)."""
    if covariates is None:
        return None, 0
    examples = units.counted(Batch(covariates, y), intercept, 0.0, common=False)
    gram = statistics.of_batch(examples)
    gram = gram if intercept else statistics.uncentred(gram)
    inverse = tall.factor_of(examples, gram, jnp.zeros_like(gram.mean_x))
    return matmul(away_from(examples, "x", gram.mean_x), inverse.vectors), inverse.rank


def _unit_residuals(rows: Float[Array, "m n"], basis, intercept: bool):
    """The residuals on the covariates, as unit vectors, and their norms; NaN where none is left."""
    eps = jnp.finfo(rows.dtype).eps
    size = jnp.max(jnp.abs(rows), axis=1)
    away = rows
    if intercept:  # from an entry and from the mean difference to it: a constant is exactly 0
        away = away - away[:, :1]
        away = away - jnp.mean(away, axis=1, keepdims=True)
    unit = power_of_two(jnp.max(jnp.abs(away), axis=1))
    away = away / unit[:, None]
    all_of = jnp.linalg.norm(away, axis=1)
    for _ in range(0 if basis is None else 2):  # the second time takes what rounding has left
        away = away - matmul(matmul(away, basis), basis.T)
    norm = jnp.linalg.norm(away, axis=1)
    rounding = 1e3 * eps * all_of + 8 * eps * jnp.sqrt(rows.shape[1]) * (size / unit)
    norm = jnp.where(norm > rounding, norm, jnp.nan)
    return away / norm[:, None], norm * unit


def _largest(x, y, top: int) -> Int[Array, "targets top"]:
    """The rows of x of largest |r| with each row of y, block by block; −1 where r is NaN."""
    m, targets = len(x), len(y)
    size = min(m, max(1, _NUMBERS // targets))

    def visit(number, best):
        first = jnp.minimum(number * size, m - size)
        index = first + jnp.arange(size)
        r = jnp.abs(matmul(y, jax.lax.dynamic_slice_in_dim(x, first, size).T))
        fresh = (index >= number * size)[None] & ~jnp.isnan(r)  # the last block overlaps
        both = [
            jnp.concatenate(pair, axis=1)
            for pair in zip(
                best,
                (jnp.where(fresh, r, -1), jnp.where(fresh, index[None], -1)),
                strict=True,
            )
        ]
        largest, place = jax.lax.top_k(both[0], top)
        return largest, jnp.take_along_axis(both[1], place, axis=1)

    none = jnp.full((targets, top), -1, x.dtype), jnp.full((targets, top), -1)
    return jax.lax.fori_loop(0, -(-m // size), visit, none)[1]
