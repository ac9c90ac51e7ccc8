"""Where examples are fewer than features: the same problem with a column for every example.

With one penalty for all features the optimum w is a combination of the rows of x − c, as every
other part of w would cost and change no output. In an orthonormal basis Q of their span, with
x − c = R Qᵀ and w = β Qᵀ, outputs are R β and ‖w‖ = ‖β‖: the problem is that of the n columns of R
(Hastie and Tibshirani, "Efficient quadratic regularization for expression arrays", 2004). Q is
made once for all classes, penalties, weights and folds.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex import costs
from jaxlinear.linalg import damped
from jaxlinear.linalg.products import matmul
from jaxlinear.loops import with_float64
from jaxlinear.rows.absent import where_present
from jaxlinear.rows.means import away_from, floating_dtype, mean_of_rows
from jaxlinear.types import Batch, Linear

_PASSES = 3
_FIRST, _MORE = 60, 10  # steps of a fit, seldom easy, and of each that starts from another


class RowSpace(NamedTuple):
    """x − center = rows basisᵀ, and basisᵀ basis = 1."""

    rows: Float[Array, "n r"]
    basis: Float[Array, "d r"]
    center: Float[Array, " d"]


def pays(examples: int, features: int, outputs: int, fits: int) -> bool:
    """Whether the basis costs less than what so many fits save with it."""
    if 2 * examples > features:
        return False
    saved = costs.step(examples, features, outputs) - costs.step(examples, examples, outputs)
    # Of a triangle a factor, and its inverse at the cost of three.
    each = 2 * costs.product(examples, features, examples) + 4 * costs.cholesky(examples)
    made = _PASSES * each + costs.product(examples, features, examples)
    return made <= (_FIRST + _MORE * (fits - 1)) * saved


def of(x, weight, intercept: bool) -> RowSpace:
    """The row space of the examples of weight; under ``vmap`` over weights of those of any."""

    def one(x, present):
        sound = jnp.isfinite(x).all(axis=1)
        present = sound if present is None else sound & present
        away, center = _centred(x, present, intercept)
        basis = _orthonormal(away).T
        return jnp.where(sound[:, None], matmul(away, basis), jnp.nan), basis, center

    shared = jax.custom_batching.custom_vmap(one)

    @shared.def_vmap
    def of_all(models, batched, x, present):
        of_x, of_weight = batched
        if of_x:
            axes = tuple(0 if own else None for own in batched)
            return jax.vmap(one, axes)(x, present), (True, True, True)
        present = jnp.any(present, axis=0) if of_weight else present
        return shared(x, present), (False, False, False)

    return RowSpace(*shared(x, None if weight is None else weight != 0))


def _centred(x, present: Bool[Array, " n"], intercept: bool):
    """x less the mean of the rows that are present, 0 in the place of the others, and the mean."""
    batch = Batch(where_present(present, x), x[:, 0], present.astype(floating_dtype(x)))
    center = mean_of_rows(batch, "x") if intercept else jnp.zeros(x.shape[1], batch.weight.dtype)
    return where_present(present, away_from(batch, "x", center)), center


def _orthonormal(rows: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows that span the same, of length 1 and at right angles to each other, or 0.

    By Cholesky factors of products of the rows, three times over, of which the first is damped:
    as right as Householder's reflections (Fukaya and others, "Shifted Cholesky QR for computing
    the QR factorization of ill-conditioned matrices", 2020), and all in products of matrices.
    """
    for _ in range(_PASSES):
        root = damped.damped(matmul(rows, rows.T))
        rows = matmul(damped.inverse_root(root), rows)
    return rows


def at_center(params: Linear, center: Float[Array, " d"]):
    """b + w · center, counted in float64."""
    return with_float64(_at_center)(*params, center)


def _at_center(w, b, center):
    wide = functools.partial(jnp.asarray, dtype=jnp.float64)
    return (wide(b) + matmul(wide(w), wide(center))).astype(w.dtype)


def inside(params: Linear, space: RowSpace) -> Linear:
    """Parameters of the columns of R, of those of x: without what w has outside of the span."""
    return Linear(matmul(params.w, space.basis), at_center(params, space.center))


def outside(params: Linear, space: RowSpace) -> Linear:
    """Parameters of the columns of x, of those of R."""
    w = matmul(params.w, space.basis.T)
    return Linear(w, params.b - matmul(w, space.center))


def gradient(inner: Linear, space: RowSpace) -> Linear:
    """The gradient of the objective in the columns of x, of that in those of R."""
    w = matmul(inner.w, space.basis.T)
    return Linear(w + inner.b[:, None] * space.center[None], inner.b)


def left_out(slopes: Float[Array, "n k"], x, weight, space: RowSpace) -> Float[Array, "k d"]:
    """The gradient of the mean loss outside of the span, which is 0 but for the rounding of R.

    Of features far smaller than others R keeps no digit.
    """
    away = away_from(Batch(x, x[:, 0]), "x", space.center)
    return _outside_of_span(matmul(slopes.T, where_present(weight, away)), space)


def with_rest(solved: Linear, g: Linear, l2, space: RowSpace) -> Linear:
    """H⁻¹ g of the whole, from that in the span: outside of it H is l2.

    Where b + w · center takes the place of b, outputs do not depend on that part of w. Where l2 is
    0, it has no derivative.
    """
    rest = _outside_of_span(g.w - g.b[:, None] * space.center[None], space)
    l2 = jnp.broadcast_to(l2, g.b.shape)[:, None]
    w = jnp.where(l2 > 0, rest / jnp.where(l2 > 0, l2, 1), 0)
    return Linear(solved.w + w, solved.b - matmul(w, space.center))


def _outside_of_span(w: Float[Array, "k d"], space: RowSpace) -> Float[Array, "k d"]:
    return w - matmul(matmul(w, space.basis), space.basis.T)
