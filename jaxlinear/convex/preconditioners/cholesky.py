"""The Hessian itself by its Cholesky factor, for few coefficients."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex.preconditioners.form import Curvature
from jaxlinear.convex.problem import Problem, hessian, hessians
from jaxlinear.linalg.damped import Root, damped, root_solve


def _exactly(prepared, problem: Problem, loss: Callable, outputs, *, classes: bool = False) -> Root:
    return damped(exact(problem, loss, outputs, classes))


def exact(problem: Problem, loss: Callable, outputs, classes: bool) -> Float[Array, "kp kp"]:
    """The Hessian; ``classes``: what is added to all outputs changes nothing."""
    h = hessians(loss, problem, outputs)
    return hessian(problem, _with_sums_of_zero(h) if classes else h)


def _with_sums_of_zero(h: Float[Array, "n k k"]) -> Float[Array, "n k k"]:
    """The Hessians of a loss that does not change with what is added to all outputs.

    Their rows sum to 0. Of a class that is nearly certain, p − p² is all rounding, which would be
    more than the curvature of all other examples; the sum of its products with others is not.
    """
    one = jnp.eye(h.shape[1], dtype=h.dtype)[None]
    others = h * (1 - one)
    return others - jnp.sum(others, axis=2, keepdims=True) * one


def _slower(clock, ratio, last):
    """Not while every step promises less than a tenth of the one before it: Newton's, once near."""
    return last | ~((clock > 0) & (ratio < 0.1))


cholesky = Curvature(
    lambda problem: None,
    _exactly,
    lambda problem, prepared, root, g: root_solve(root, g),
    due=_slower,
)
cholesky_of_classes = cholesky._replace(build=functools.partial(_exactly, classes=True))
