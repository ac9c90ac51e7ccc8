"""What the last steps tell of the curvature: limited-memory BFGS, in matrices.

With the last steps as the rows of S, oldest first, what they changed in the gradient as those of Y,
R the upper triangle of S Yᵀ and D its diagonal, the recursion of BFGS from H⁻¹ ≈ P⁻¹ ends at

    H⁻¹ g ≈ z + Sᵀ R⁻ᵀ (D a − Y z),    a = R⁻¹ S g,    z = P⁻¹ (g − Yᵀ a)

(Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices", 1994): products with
matrices of m rows, where the recursion takes 2 m steps that nothing can do at once.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.linalg.products import matmul


class Steps(NamedTuple):
    """The last m steps s and what they changed in the gradient, y: rings, whose rows may be 0.

    ``products`` are S Yᵀ, and ``inverse`` is R⁻¹, in the order of the rings.
    ``size`` is that of H⁻¹ along the last step, as a part of what the preconditioner says of it.
    """

    s: Float[Array, "m k p"]
    y: Float[Array, "m k p"]
    inverse: Float[Array, "m m"]
    products: Float[Array, "m m"]
    size: Float[Array, ""]


def none(memory: int, theta: Float[Array, "k p"]) -> Steps:
    """No steps."""
    dtype = theta.dtype
    empty = jnp.zeros((memory, *theta.shape), dtype)
    one = jnp.eye(memory, dtype=dtype)
    return Steps(empty, empty, one, jnp.zeros_like(one), jnp.ones((), dtype))


def inverse_hessian(steps: Steps, precondition: Callable, g: Float[Array, "k p"]):
    """H⁻¹ g, as a preconditioner and the steps know it."""
    s, y, inverse, products, size = steps
    if not len(s):
        return precondition(g)
    curvature = jnp.diagonal(products)
    a = matmul(inverse, _along(s, g))
    z = size * precondition(g - _combined(y, a))
    return z + _combined(s, matmul(curvature * a - _along(y, z), inverse))


def _along(rows: Float[Array, "m k p"], v: Float[Array, "k p"]) -> Float[Array, " m"]:
    return matmul(rows.reshape(len(rows), -1), v.reshape(-1))


def _combined(rows: Float[Array, "m k p"], parts: Float[Array, " m"]) -> Float[Array, "k p"]:
    return matmul(parts, rows.reshape(len(rows), -1)).reshape(rows.shape[1:])


def with_step(steps: Steps, s, y, taken, clock, precondition: Callable | None) -> Steps:
    """The newest step, number ``clock``, in the place of the oldest.

    One without curvature says nothing. Without ``precondition`` that is of the right size.
    """
    memory = len(steps.s)
    if not memory:
        return steps
    pair = jnp.stack([s, y]).reshape(2, -1)
    (of_s, product), (_, of_y) = matmul(pair, pair.T)
    least = jnp.finfo(s.dtype).eps * jnp.sqrt(of_s) * jnp.sqrt(of_y)
    said = taken & (product > least)
    place = clock % memory

    def put(old, new):
        return old.at[place].set(jnp.where(said, new, old[place]))

    every_s, every_y = put(steps.s, s), put(steps.y, y)
    of_step = steps.products.at[place].set(_along(every_y, s)).at[:, place].set(_along(every_s, y))
    products = jnp.where(said, of_step, steps.products)
    size = steps.size
    if precondition is not None:
        size = jnp.where(said, product / jnp.sum(y * precondition(y)), size)
    inverse = _inverse_of_upper(products, place)
    return Steps(every_s, every_y, inverse, products, size)


def _inverse_of_upper(products: Float[Array, "m m"], newest) -> Float[Array, "m m"]:
    """R⁻¹, where R is upper triangular once the rows are in order, oldest first."""
    memory = len(products)
    order = (newest + 1 + jnp.arange(memory)) % memory
    ordered = products[order[:, None], order[None]]
    one = jnp.eye(memory, dtype=products.dtype)
    upper = jnp.triu(ordered) + jnp.where((ordered == 0) & (one == 1), one, 0)
    found = jax.lax.linalg.triangular_solve(upper, one, left_side=True)
    place = (jnp.arange(memory) - newest - 1) % memory
    return found[place[:, None], place[None]]


def newest_last(steps: Steps, clock) -> Steps:
    """The rings turned, so that the newest step is where a clock at 0 expects it."""
    s, y = (jnp.roll(ring, -clock, axis=1) for ring in (steps.s, steps.y))
    inverse, products = (
        jnp.roll(each, (-clock, -clock), axis=(1, 2)) for each in (steps.inverse, steps.products)
    )
    return Steps(s, y, inverse, products, steps.size)
