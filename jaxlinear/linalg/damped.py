"""A Cholesky factor of a symmetric matrix, damped until it is positive definite."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.linalg.products import matmul, unit_scale


class Root(NamedTuple):
    """H = D L Lᵀ D, D diagonal; ``inverse`` is the diagonal of D⁻¹, with 0 where that of H is 0."""

    lower: Float[Array, "d d"]
    inverse: Float[Array, " d"]


def damped(matrix) -> Root:
    """A Cholesky factor of H, to whose diagonal a small multiple of itself is added.

    The multiple is 16 eps, and 100 times more at every further try until a factor exists.
    """
    scale, empty = unit_scale(jnp.diagonal(matrix))
    inverse = jnp.where(empty, 0, 1 / scale)
    unit = matrix * inverse[:, None] * inverse[None]
    one = jnp.eye(len(matrix), dtype=matrix.dtype)
    none = jnp.diag(empty.astype(matrix.dtype))

    def again(carry):
        damping, _ = carry
        lower = jnp.linalg.cholesky(unit + damping * one + none, symmetrize_input=False)
        return 100 * damping, lower

    def unfit(carry):
        return ~jnp.isfinite(carry[1][0, 0]) & (carry[0] < 100)  # all of a failed factor is NaN

    least = 16 * jnp.finfo(matrix.dtype).eps.astype(matrix.dtype)
    _, lower = jax.lax.while_loop(unfit, again, (least, jnp.nan * unit))
    return Root(lower, inverse)


def triangle_solve(lower, sides, *, transposed: bool = False):
    """L⁻¹ or L⁻ᵀ times the columns of ``sides``."""
    return jax.lax.linalg.triangular_solve(
        lower, sides, left_side=True, lower=True, transpose_a=transposed
    )


def root_solve(built: Root, g):
    """H⁻¹ g, or 0 where the factorisation failed."""
    side = (g.reshape(-1) * built.inverse)[:, None]
    inside = triangle_solve(built.lower, triangle_solve(built.lower, side), transposed=True)
    result = (inside[:, 0] * built.inverse).reshape(g.shape)
    return jnp.where(jnp.isfinite(result).all(), result, 0)


def inverse_root(root: Root) -> Float[Array, "d d"]:
    """R = L⁻¹ D⁻¹, for which H⁻¹ = Rᵀ R."""
    return triangle_solve(root.lower, jnp.diag(root.inverse))


def root_inverse(root: Root) -> Float[Array, "d d"]:
    """H⁻¹."""
    half = inverse_root(root)
    return matmul(half.T, half)
