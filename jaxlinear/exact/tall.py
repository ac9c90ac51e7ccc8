"""The fit of a tall x: a factor of xᵀx, or of x itself where that is ill-conditioned, refined."""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from jaxlinear.exact import normal_equations, spectral, statistics, units
from jaxlinear.exact.refine import refined
from jaxlinear.exact.spectral import Primal
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


def tall(rows: Examples, l2, intercept: bool, steps, primal: Primal | None) -> Fit:
    """The fit of a tall x, from its ``primal`` decomposition where there is one."""
    fixed, l2_fixed = jax.lax.stop_gradient((rows, l2))
    primal = jax.lax.stop_gradient(primal)
    if primal is None and jnp.ndim(l2):
        primal = spectral.primal(statistics.of_batch(fixed), intercept)
    gram = primal.gram if primal else statistics.of_batch(fixed)
    gram = gram if intercept or primal else statistics.uncentred(gram)
    penalty = units.penalty(l2_fixed, fixed.units)
    alpha = gram.weight * penalty
    if jnp.ndim(l2):
        inverse = spectral.inverse(primal, alpha[:, 0])
    else:
        inverse = factor_of(fixed, gram, alpha[0])
    fit = normal_equations.fit_from(gram, alpha, inverse)
    fit = refined(fixed, gram, penalty, inverse, fit, intercept, steps)
    params = implicit.optimum(
        functools.partial(_stationarity, intercept),
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
        return jnp.sum(strength * jnp.square(jnp.atleast_2d(w))) / 2

    batch = units.in_units(rows)
    return stationarity(squared_error, intercept, params, (batch, 0.0), penalty)


def _inverse_hessian(operand, gradient: Linear) -> Linear:
    """The inverse Hessian of the objective, from that of the centred problem."""
    inverse, center, weight = operand
    g_w, g_b = jnp.atleast_2d(gradient.w), jnp.atleast_1d(gradient.b)
    w = weight * factor.solve(inverse, g_w - g_b[:, None] * center[None])
    b = g_b - matmul(w, center)
    return Linear(w.reshape(gradient.w.shape), b.reshape(gradient.b.shape))


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
    """R of the QR factorisation of √w (x − c) / scale below ``start`` (d, d), block by block."""

    def add(above, block):
        block = readable(block)
        rows = away_from(block, "x", center) / scale[None]
        rows = times_root_weight(block.weight, rows)
        # LAPACK wants columns; without this all of x would be copied to that order, used or not.
        rows = with_layout_constraint(rows, Layout(major_to_minor=(0, 1)))
        return jnp.linalg.qr(jnp.concatenate([above, rows]), mode="r")

    size = max(1024, 4 * len(center))
    return blocks.fold(lambda block: add(start, block), add, batch, size)
