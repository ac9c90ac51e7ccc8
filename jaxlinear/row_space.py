"""Where examples are fewer than features: the same problem with a column for every example.

With one penalty for all features the optimum w is a combination of the rows of x − c, as every
other part of w would cost and change no output. In an orthonormal basis Q of their span, with
x − c = R Qᵀ and w = β Qᵀ, outputs are R β and ‖w‖ = ‖β‖: the problem is that of the n columns of R
(Hastie and Tibshirani, "Efficient quadratic regularization for expression arrays", 2004). Q is
made once for all classes, penalties, weights and folds.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear import columns, costs, curvature, gram
from jaxlinear.factor import matmul
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
    return RowSpace(*_of(x, None if weight is None else weight != 0, intercept))


def _of(x, present, intercept: bool) -> tuple:
    def one(x, present):
        center, sound = _center(x, present, intercept)
        away = _away(x, center, sound, present)
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

    return shared(x, present)


def _orthonormal(rows: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows that span the same, of length 1 and at right angles to each other, or 0.

    By Cholesky factors of products of the rows, three times over, of which the first is damped:
    as right as Householder's reflections (Fukaya and others, "Shifted Cholesky QR for computing
    the QR factorization of ill-conditioned matrices", 2020), and all in products of matrices.
    """
    for _ in range(_PASSES):
        root = curvature.damped(matmul(rows, rows.T))
        rows = matmul(curvature.inverse_root(root), rows)
    return rows


def _center(x, present, intercept: bool):
    """The mean of the rows that are there, and which rows are numbers."""
    sound = jnp.isfinite(x).all(axis=1)
    if not intercept:
        return jnp.zeros(x.shape[1], gram.floating_dtype(x)), sound
    here = sound if present is None else sound & present
    batch = Batch(jnp.where(here[:, None], x, 0), x[:, 0], here.astype(gram.floating_dtype(x)))
    return gram.mean(batch, "x"), sound


def _away(x, center, sound, present) -> Float[Array, "n d"]:
    """x − center, and 0 for rows that are absent or hold no number."""
    here = sound if present is None else sound & present
    away = gram.away_from(Batch(x, x[:, 0]), "x", center)
    return jnp.where(here[:, None], away, 0)


def inside(params: Linear, space: RowSpace) -> Linear:
    """Parameters of the columns of R, of those of x: without what w has outside of the span."""
    b = columns.at_center(params, space.center)
    return Linear(matmul(params.w, space.basis), b)


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
    sound = jnp.isfinite(x).all(axis=1)
    away = _away(x, space.center, sound, None if weight is None else weight != 0)
    whole = matmul(slopes.T, away)
    return whole - matmul(matmul(whole, space.basis), space.basis.T)


class Parts(NamedTuple):
    """A right-hand side in the columns of x, as one in those of R and what is outside of these."""

    inner: Linear
    rest: Float[Array, "k d"]


def split(g: Linear, space: RowSpace) -> Parts:
    """The parts of a gradient in w and b, where b + w · center takes the place of b."""
    w = g.w - g.b[:, None] * space.center[None]
    inner = matmul(w, space.basis)
    return Parts(Linear(inner, g.b), w - matmul(inner, space.basis.T))


def joined(solved: Linear, rest: Float[Array, "k d"], l2, space: RowSpace) -> Linear:
    """H⁻¹ of the whole: outside of the span H is l2, and no derivative where that is 0."""
    l2 = jnp.broadcast_to(l2, solved.b.shape)[:, None]
    beyond = jnp.where(l2 > 0, rest / jnp.where(l2 > 0, l2, 1), 0)
    w = matmul(solved.w, space.basis.T) + beyond
    return Linear(w, solved.b - matmul(w, space.center))
