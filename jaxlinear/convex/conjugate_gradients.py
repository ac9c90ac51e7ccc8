"""The solution of a linear system by products alone: preconditioned conjugate gradients."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def solve(hessian: Callable, precondition: Callable, side, ahead, within, most: int):
    """About H⁻¹ side: r · P⁻¹ r is ``within`` of what it was, or ``most`` products were made.

    ``ahead`` is P⁻¹ side. Along what has no curvature there is nothing to gain: it ends there.
    """

    def advance(carry):
        z, r, p, now, number = carry
        product = hessian(p)
        curvature = jnp.sum(p * product)
        length = jnp.where(curvature > 0, now / curvature, 0)
        z, r = z + length * p, r - length * product
        s = precondition(r)
        new = jnp.sum(r * s)
        return z, r, s + new / now * p, new, jnp.where(curvature > 0, number + 1, most)

    def unfinished(carry):
        *_, now, number = carry
        return (now > within * begin) & (number < most)

    begin = jnp.sum(side * ahead)
    start = (jnp.zeros_like(side), side, ahead, begin, jnp.int32(0))
    return jax.lax.while_loop(unfinished, advance, start)[0]
