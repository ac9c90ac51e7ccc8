"""The fit of a tall x, by a factor of xᵀx, or of x where xᵀx is ill-conditioned; then refined."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from jaxlinear.exact import normal_equations, spectral, statistics, units
from jaxlinear.exact.refine import refined
from jaxlinear.exact.spectral import Decomposition
from jaxlinear.exact.static import Setting
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg import factor, implicit
from jaxlinear.linalg.factor import Factor
from jaxlinear.linalg.products import matmul, unit_scale
from jaxlinear.loops import when
from jaxlinear.model.losses import squared_error
from jaxlinear.model.objective import stationarity
from jaxlinear.rows import blocks
from jaxlinear.rows.absent import readable, times_root_weight
from jaxlinear.rows.means import away_from
from jaxlinear.types import Examples, Fit, Linear, Rows


def tall(setting: Setting, rows: Examples, l2, decomposition: Decomposition | None) -> Fit:
    """The fit of a tall x, from its decomposition where there is one."""
    fixed, l2_fixed = jax.lax.stop_gradient((rows, l2))
    decomposition = jax.lax.stop_gradient(decomposition)
    if decomposition is None and jnp.ndim(l2):
        decomposition = spectral.primal(statistics.of_batch(fixed), setting.intercept)
    if decomposition is not None:
        gram = decomposition.made_of.gram
    else:
        gram = statistics.of_batch(fixed)
        gram = gram if setting.intercept else statistics.uncentred(gram)
    penalty = units.penalty(l2_fixed, fixed.units)
    alpha = gram.weight * penalty
    if jnp.ndim(l2):
        inverse = spectral.inverse(decomposition, alpha[:, 0])
    else:
        inverse = factor_of(fixed, gram, alpha[0])
    fit = normal_equations.fit_from(gram, alpha, inverse)
    fit = refined(setting, fixed, gram, penalty, inverse, fit)
    params = implicit.optimum(
        functools.partial(_stationarity, setting.intercept),
        _inverse_hessian,
        fit.params,
        (inverse, gram.mean_x, gram.weight),
        (rows, l2),
    )
    return fit._replace(params=params)


def _stationarity(intercept: bool, params: Linear, data) -> Linear:
    """The gradient of the objective in units, whose root is the fit."""
    rows, l2 = data
    strength = units.penalty(l2, rows.units)

    def penalty(w, _):
        return jnp.sum(strength * jnp.square(w)) / 2

    batch = units.in_units(rows)
    return stationarity(squared_error, intercept, params, (batch, 0.0), penalty)


def _inverse_hessian(operand, gradient: Linear) -> Linear:
    """The inverse Hessian of the objective times ``gradient``, by that of the centred problem."""
    inverse, center, weight = operand
    w = weight * factor.solve(inverse, gradient.w - gradient.b[:, None] * center[None])
    return Linear(w, gradient.b - matmul(w, center))


def factor_of(rows: Examples, gram: Gram, alpha) -> Factor:
    """The factor of xx + diag(α), from the products where those are reliable, else from x by QR."""
    matrix = gram.xx + jnp.diag(alpha)
    scale, _ = unit_scale(jnp.diagonal(matrix))
    quick = factor.cholesky(matrix)

    def slow(operand):
        triangle = triangle_of(*operand)
        return factor.of_triangle(triangle, scale)

    above = jnp.diag(jnp.sqrt(alpha) / scale)
    operand = (rows, gram.mean_x, scale, above)
    return when(~factor.reliable(quick), slow, operand, quick)


def triangle_of(batch: Rows, center, scale, start) -> Float[Array, "d d"]:
    """R of the QR factorisation of [start; √w (x − c) / scale], start (d, d), block by block."""

    def add(above, block):
        block = readable(block)
        rows = away_from(block, "x", center) / scale[None]
        rows = times_root_weight(block.weight, rows)
        # LAPACK is column-major; without this XLA would copy all of x to that order, used or not.
        rows = with_layout_constraint(rows, Layout(major_to_minor=(0, 1)))
        return jnp.linalg.qr(jnp.concatenate([above, rows]), mode="r")

    size = max(1024, 4 * len(center))
    return blocks.fold(lambda block: add(start, block), add, batch, size)
