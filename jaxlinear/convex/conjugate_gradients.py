"""The solution of a linear system by products alone: preconditioned conjugate gradients."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Progress(NamedTuple):
    """The solution so far, its residual, the next direction, r · P⁻¹ r, and how many products."""

    z: Float[Array, "k p"]
    r: Float[Array, "k p"]
    p: Float[Array, "k p"]
    now: Float[Array, ""]
    number: Int[Array, ""]


def solve(hessian: Callable, precondition: Callable, side, ahead, within, most: int):
    """About H⁻¹ side: r · P⁻¹ r is ``within`` of what it was, or ``most`` products were made.

    ``ahead`` is P⁻¹ side. Along what has no curvature there is nothing to gain: it ends there.
    """
    start = begun(side, ahead)
    return jax.lax.while_loop(
        lambda progress: is_unfinished(progress, within * start.now, most),
        lambda progress: advance(progress, hessian(progress.p), precondition, most),
        start,
    ).z


def begun(side, ahead) -> Progress:
    """No products yet."""
    return Progress(jnp.zeros_like(side), side, ahead, jnp.sum(side * ahead), jnp.int32(0))


def advance(progress: Progress, product, precondition: Callable, most: int) -> Progress:
    """A step, by the product of H and the direction."""
    z, r, p, now, number = progress
    curvature = jnp.sum(p * product)
    length = jnp.where(curvature > 0, now / curvature, 0)
    z, r = z + length * p, r - length * product
    s = precondition(r)
    new = jnp.sum(r * s)
    return Progress(z, r, s + new / now * p, new, jnp.where(curvature > 0, number + 1, most))


def is_unfinished(progress: Progress, least, most: int):
    """Whether r · P⁻¹ r is above ``least``, and another product is allowed."""
    return (progress.now > least) & (progress.number < most)
