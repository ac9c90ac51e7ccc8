"""The problem of a convex solver, and its outputs, values, gradients and curvatures."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.linalg.products import matmul, weighted_rows
from jaxlinear.rows import order
from jaxlinear.rows.absent import blank


class Problem(NamedTuple):
    """Σ_i share_i loss(θ x_i, target_i) + ½ Σ λ θ², with columns of x that are alike in size.

    ``share`` are weights that sum to 1; of 0 where an example is not ``present``: None where all
    are. θ is (k, p).
    """

    x: Float[Array, "n p"]
    target: Any
    share: Float[Array, " n"]
    penalty: Float[Array, "k p"]
    present: Bool[Array, " n"] | None = None


def outputs_of(problem: Problem, theta) -> Float[Array, "n k"]:
    """θ x, and for absent examples, whose loss might overflow, that of one that is present."""
    return blank(problem.present, matmul(problem.x, theta.T))


class Values(NamedTuple):
    """Σ share loss at some outputs, its derivatives in them, and Σ share |loss|.

    The last is what the rounding of the first is relative to.
    """

    value: Float[Array, ""]
    slopes: Float[Array, "n k"]
    size: Float[Array, ""]


def values_at(loss: Callable, problem: Problem, outputs: Float[Array, "n k"]) -> Values:
    """The mean loss at these outputs, with its derivatives."""

    def total(outputs):
        each = jax.vmap(loss)(outputs, problem.target)
        return tuple(jnp.sum(problem.share[None] * jnp.stack([each, jnp.abs(each)]), axis=1))

    (value, size), slopes = jax.value_and_grad(total, has_aux=True)(outputs)
    return Values(value, slopes, size)


def gradient_at(problem: Problem, theta, total: Values):
    """The gradient of the objective at θ, from the values of the loss there."""
    return weighted_rows(total.slopes, problem.x) + problem.penalty * theta


def hessian_product(loss: Callable, problem: Problem, outputs) -> Callable:
    """The product with H at these outputs."""
    slopes = jax.linearize(lambda o: values_at(loss, problem, o).slopes, outputs)[1]

    def product(v):
        changed = slopes(matmul(problem.x, v.T))
        return weighted_rows(changed, problem.x) + problem.penalty * v

    return product


def without_shared(problem: Problem, theta):
    """θ less what all classes share, of which the penalty leaves nothing at the optimum.

    H has no curvature along it, so that Newton's steps would follow rounding.
    """
    penalty = jnp.sum(problem.penalty, axis=0, keepdims=True)
    part = jnp.where(
        penalty > 0, problem.penalty / jnp.where(penalty > 0, penalty, 1), 1 / len(theta)
    )
    return theta - jnp.sum(part * theta, axis=0, keepdims=True)


def better_start(loss: Callable, problem: Problem, theta, other):
    """Of two starts the one whose loss is less; ``other`` where it is no number at θ."""

    def value(theta):
        each = jax.vmap(loss)(outputs_of(problem, theta), problem.target)
        return jnp.sum(problem.share * each)

    given, start = jax.vmap(value)(jnp.stack([theta, other]))
    return jnp.where(given <= start, theta, other)


def hessians(loss: Callable, problem: Problem, outputs) -> Float[Array, "n k k"]:
    """The Hessians of the losses in their outputs, times their shares."""
    return problem.share[:, None, None] * jax.vmap(jax.hessian(loss))(outputs, problem.target)


def mean_of_curvatures(loss: Callable, problem: Problem, outputs) -> Float[Array, " k"]:
    """Σ_i share_i h_i, its diagonal."""
    found = jnp.sum(curvatures(loss, problem, outputs), axis=0)
    if len(found) <= _FEW:
        return found
    # An estimate may come out at nothing, or less.
    return jnp.maximum(found, 1e-3 * jnp.mean(jnp.maximum(found, 0)))


def curvatures(loss: Callable, problem: Problem, outputs) -> Float[Array, "n k"]:
    """The diagonals of share_i h_i, from products alone: there is no room for all of h.

    Of many outputs it is an estimate. The mean of v · h v over vectors v of random signs is the
    diagonal of h (Hutchinson, 1990), and every example has vectors of its own.
    """
    slopes = jax.grad(lambda o: jnp.sum(problem.share * jax.vmap(loss)(o, problem.target)))
    product = jax.linearize(slopes, outputs)[1]
    k = outputs.shape[1]

    def estimate(seed):
        v = _signs(outputs.shape, seed).astype(outputs.dtype)
        return v * product(v)

    def column(unit):
        return matmul(product(jnp.broadcast_to(unit[None], outputs.shape)), unit)

    if k == 1:
        return product(jnp.ones_like(outputs))
    if k <= _FEW:
        return jax.lax.map(column, jnp.eye(k, dtype=outputs.dtype)).T
    return jnp.mean(jax.lax.map(estimate, jnp.arange(4, dtype=jnp.uint32)), axis=0)


_FEW = 10  # outputs, whose curvature takes a product for each


def _signs(shape: tuple[int, int], seed):
    """Signs that look random: a hash of the place."""
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return jnp.where(order.hashed(order.hashed(place) + seed) >> 31 == 1, 1, -1)


def hessian(problem: Problem, h: Float[Array, "n k k"]) -> Float[Array, "kp kp"]:
    """Σ_i x_i x_iᵀ ⊗ h_i + diag(λ)."""
    k, p = problem.penalty.shape
    a, b = jnp.triu_indices(k)

    def block(pair):
        return matmul((problem.x * h[:, pair[0], pair[1]][:, None]).T, problem.x)

    upper = jax.lax.map(block, (a, b)) if k > 1 else block((0, 0))[None]
    blocks = jnp.zeros((k, k, p, p), upper.dtype).at[a, b].set(upper).at[b, a].set(upper)
    matrix = blocks.transpose(0, 2, 1, 3).reshape(k * p, k * p)
    return matrix + jnp.diag(problem.penalty.reshape(-1))
