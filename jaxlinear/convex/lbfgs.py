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
from jaxtyping import Array, Bool, Float

from jaxlinear.linalg.products import matmul


class Steps(NamedTuple):
    """The last m steps s and what they changed in the gradient, y: rings, whose rows may be 0.

    ``inverse`` is R⁻¹, in the order of the rings, 0 where these are empty, and ``curvature`` is D.
    ``size`` is that of H⁻¹ along the last step, as a part of what the preconditioner says of it.
    """

    s: Float[Array, "m k p"]
    y: Float[Array, "m k p"]
    inverse: Float[Array, "m m"]
    curvature: Float[Array, " m"]
    size: Float[Array, ""]


def none(memory: int, theta: Float[Array, "k p"]) -> Steps:
    """No steps."""

    def zeros(*shape):
        return jnp.zeros((memory, *shape), theta.dtype)

    rings = zeros(*theta.shape), zeros(*theta.shape)
    return Steps(*rings, zeros(memory), zeros(), jnp.ones((), theta.dtype))


def inverse_hessian(steps: Steps, precondition: Callable, g: Float[Array, "k p"]):
    """H⁻¹ g, as a preconditioner and the steps know it."""
    s, y, inverse, curvature, size = steps
    if not len(s):
        return precondition(g)
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
    place = jnp.asarray(clock, jnp.uint32) % jnp.uint32(memory)  # unsigned: it needs no checks

    def put(ring, new):
        old = jax.lax.dynamic_index_in_dim(ring, place, keepdims=False)
        return jax.lax.dynamic_update_index_in_dim(ring, jnp.where(said, new, old), place, 0)

    every_s, every_y = put(steps.s, s), put(steps.y, y)
    here = jnp.arange(memory, dtype=jnp.uint32) == place
    inverse = _with_column(steps.inverse, here, _along(every_s, y), product)
    size = steps.size
    if precondition is not None:
        size = jnp.where(said, product / jnp.sum(y * precondition(y)), size)
    return Steps(
        every_s,
        every_y,
        jnp.where(said, inverse, steps.inverse),
        jnp.where(said & here, product, steps.curvature),
        size,
    )


def _with_column(inverse: Float[Array, "m m"], here: Bool[Array, " m"], along, product):
    """R⁻¹ without the row and column of R that are ``here``, and with S y as its newest column.

    What leaves R need not be the oldest: models that waited have not written in every place.
    """
    one = here.astype(inverse.dtype)
    row, column = matmul(one, inverse), matmul(inverse, one)
    corner = jnp.sum(row * one)
    rest = inverse - column[:, None] * (row / jnp.where(corner == 0, 1, corner))[None]
    rest = jnp.where(here[:, None] | here[None], 0, rest)
    newest = jnp.where(here, 1, -matmul(rest, along)) / product
    return jnp.where(here[None], newest[:, None], rest)


def newest_last(steps: Steps, clock) -> Steps:
    """The rings turned, so that the newest step is where a clock at 0 expects it."""
    s, y, curvature = (
        jnp.roll(ring, -clock, axis=1) for ring in (steps.s, steps.y, steps.curvature)
    )
    inverse = jnp.roll(steps.inverse, (-clock, -clock), axis=(1, 2))
    return Steps(s, y, inverse, curvature, steps.size)
