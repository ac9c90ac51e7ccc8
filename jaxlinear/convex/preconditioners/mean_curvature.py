"""The Gram matrix of x times the mean curvature of all outputs: one inverse for all of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex.preconditioners.form import PRODUCTS, Curvature
from jaxlinear.convex.problem import Problem, mean_of_curvatures
from jaxlinear.linalg.damped import Root, damped, root_inverse, root_solve
from jaxlinear.linalg.products import matmul


class Mean(NamedTuple):
    """A factor of c G + Λ, where c is the mean ``curvature`` of all outputs; none until ``made``.

    Or with fewer rows than columns, ``inverse`` = Λ⁻¹ and a factor of I + c Z Λ⁻¹ Zᵀ, where the
    rows of Z are those of x times √share: G = Zᵀ Z.
    """

    factor: Root | Float[Array, "m m"]
    inverse: Float[Array, " p"] | None
    curvature: Float[Array, ""]
    penalty: Float[Array, ""]
    made: Bool[Array, ""]


def _factored(matrix, outputs: int) -> Root | Float[Array, "m m"]:
    """A factor; for several outputs the inverse, which meets them in one product."""
    root = damped(matrix)
    return root if outputs == 1 else root_inverse(root)


def _divided_by(factored: Root | Float[Array, "m m"], sides: Float[Array, "k m"]):
    return root_solve(factored, sides) if isinstance(factored, Root) else matmul(sides, factored)


def gram_of(problem: Problem) -> Float[Array, "p p"]:
    """The Gram matrix of x, of Σ share = 1."""
    return matmul((problem.share[:, None] * problem.x).T, problem.x)


def by_columns(problem: Problem, loss: Callable, outputs) -> Mean:
    """The factor of c G + Λ."""
    size = jnp.mean(mean_of_curvatures(loss, problem, outputs))
    penalty = jnp.mean(problem.penalty, axis=0)
    matrix = size * gram_of(problem) + jnp.diag(penalty)
    found = _factored(matrix, len(problem.penalty))
    return Mean(found, None, size, jnp.mean(penalty), jnp.array(True))


def by_rows(problem: Problem, loss: Callable, outputs) -> Mean:
    """(c Zᵀ Z + Λ)⁻¹ = Λ⁻¹ − c Λ⁻¹ Zᵀ (I + c Z Λ⁻¹ Zᵀ)⁻¹ Z Λ⁻¹, of Woodbury."""
    size = jnp.mean(mean_of_curvatures(loss, problem, outputs))
    penalty = jnp.mean(problem.penalty, axis=0)
    # More than what rounding leaves of the difference.
    least = 100 * jnp.finfo(size.dtype).eps * len(penalty) * size
    inverse = 1 / jnp.maximum(penalty, jnp.maximum(least, jnp.finfo(size.dtype).tiny))
    rows = problem.x * jnp.sqrt(size * problem.share[:, None] * inverse[None])
    matrix = matmul(rows, rows.T) + jnp.eye(len(rows), dtype=rows.dtype)
    # Two triangular solves for a row of 500 take ten times as long as a product with the inverse.
    return Mean(root_inverse(damped(matrix)), inverse, size, jnp.mean(penalty), jnp.array(True))


def whole(problem: Problem, prepared: Mean, g):
    """(c G + Λ)⁻¹ g."""
    factored, inverse, curvature, *_ = prepared
    if inverse is None:
        return _divided_by(factored, g)
    root = jnp.sqrt(problem.share)[None]
    inside = _divided_by(factored, matmul(problem.x, (g * inverse[None]).T).T * root)
    return (g - curvature * matmul(inside * root, problem.x)) * inverse[None]


def _inverse_of_mean(prepared, problem: Problem, loss: Callable, outputs) -> Float[Array, "p p"]:
    return by_columns(problem, loss, outputs).factor


mean_curvature = Curvature(
    lambda problem: None,
    _inverse_of_mean,
    lambda problem, prepared, inverse, g: matmul(g, inverse),
    _inverse_of_mean,
    products=PRODUCTS,
)
