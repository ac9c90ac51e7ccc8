"""What the last steps tell of the curvature: limited-memory BFGS, in matrices.

With the last steps as the rows of S, oldest first, what they changed in the gradient as those of Y,
R the upper triangle of S Yᵀ and D its diagonal, the recursion of BFGS from H⁻¹ ≈ P⁻¹ ends at

    H⁻¹ g ≈ z + Sᵀ R⁻ᵀ (D a − Y z),    a = R⁻¹ S g,    z = P⁻¹ (g − Yᵀ a)

(Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices", 1994): four products with
matrices of m rows, where the recursion takes 2 m steps that nothing can do at once.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.factor import matmul


class Steps(NamedTuple):
    """The last m steps s and what they changed in the gradient, y: rings, whose rows may be 0.

    ``products`` are S Yᵀ; ``size`` is that of H⁻¹ along the last step, as a part of what the
    preconditioner says of it.
    """

    s: Float[Array, "m k p"]
    y: Float[Array, "m k p"]
    products: Float[Array, "m m"]
    size: Float[Array, ""]


def none(memory: int, theta: Float[Array, "k p"]) -> Steps:
    """No steps."""
    empty = jnp.zeros((memory, *theta.shape), theta.dtype)
    return Steps(empty, empty, jnp.zeros((memory, memory), theta.dtype), jnp.ones((), theta.dtype))


def inverse_hessian(steps: Steps, clock, precondition: Callable, g: Float[Array, "k p"]):
    """H⁻¹ g, as a preconditioner and the steps up to ``clock`` know it."""
    s, y, products, size = steps
    memory = len(s)
    if not memory:
        return precondition(g)
    oldest_first = (clock + jnp.arange(memory)) % memory
    ordered = jnp.triu(products[oldest_first[:, None], oldest_first[None]])
    diagonal = jnp.diagonal(ordered)
    upper = ordered + jnp.diag(jnp.where(diagonal == 0, 1, 0).astype(g.dtype))

    def solved(side, *, transposed=False):
        """R⁻¹, or R⁻ᵀ, times the side, whose order is that of the ring."""
        found = jax.lax.linalg.triangular_solve(
            upper, side[oldest_first][:, None], left_side=True, transpose_a=transposed
        )
        return jnp.zeros_like(side).at[oldest_first].set(found[:, 0])

    a = solved(_along(s, g))
    z = size * precondition(g - _combined(y, a))
    d = solved(jnp.diagonal(products) * a - _along(y, z), transposed=True)
    return z + _combined(s, d)


def _along(rows: Float[Array, "m k p"], v: Float[Array, "k p"]) -> Float[Array, " m"]:
    return matmul(rows.reshape(len(rows), -1), v.reshape(-1))


def _combined(rows: Float[Array, "m k p"], parts: Float[Array, " m"]) -> Float[Array, "k p"]:
    return matmul(parts, rows.reshape(len(rows), -1)).reshape(rows.shape[1:])


def with_step(steps: Steps, s, y, taken, clock, precondition: Callable | None) -> Steps:
    """The newest step in the place of the oldest; one without curvature says nothing.

    Without ``precondition`` the preconditioner is of the right size.
    """
    memory = len(steps.s)
    if not memory:
        return steps
    product = jnp.sum(s * y)
    said = product > jnp.finfo(s.dtype).eps * jnp.linalg.norm(s) * jnp.linalg.norm(y)
    said &= taken
    place = clock % memory

    def put(old, new):
        return old.at[place].set(jnp.where(said, new, old[place]))

    every_s, every_y = put(steps.s, s), put(steps.y, y)
    products = put(steps.products, _along(every_y, s))
    products = put(products.T, _along(every_s, y)).T
    size = steps.size
    if precondition is not None:
        size = jnp.where(said, product / jnp.sum(y * precondition(y)), size)
    return Steps(every_s, every_y, products, size)


def newest_last(steps: Steps, clock) -> Steps:
    """The rings turned, so that the newest step is where a clock at 0 expects it."""
    s, y = (jnp.roll(ring, -clock, axis=1) for ring in steps[:2])
    return Steps(s, y, jnp.roll(steps.products, (-clock, -clock), axis=(1, 2)), steps.size)
