"""The inverse Hessian at an optimum, for its derivatives."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex import conjugate_gradients
from jaxlinear.convex.columns import Units, unscaled
from jaxlinear.convex.preconditioners.form import Curvature
from jaxlinear.convex.problem import Problem, hessian_product
from jaxlinear.types import Linear


class Optimum(NamedTuple):
    """What the derivatives of an optimum need: the problem there, and a form of its Hessian."""

    problem: Problem
    units: Units
    outputs: Float[Array, "n k"]
    prepared: Any
    built: Any


def inverse_hessian(loss: Callable, form: Curvature, intercept: bool, optimum: Optimum, g: Linear):
    """H⁻¹ g in the columns as they came, by conjugate gradients with the form as preconditioner."""
    problem, units, outputs, prepared, built = optimum

    to_params = functools.partial(unscaled, units=units, intercept=intercept)
    (side,) = jax.linear_transpose(to_params, jnp.zeros_like(problem.penalty))(g)
    precondition = functools.partial(form.apply, problem, prepared, built)
    # Where H has no curvature, as along what all classes share, the damping of the factor, √eps,
    # divides the square of a rounding: below that, steps follow noise.
    tiny = 64 * jnp.finfo(side.dtype).eps ** 1.5
    hessian = hessian_product(loss, problem, outputs)
    start = precondition(side)
    solved = conjugate_gradients.solve(hessian, precondition, side, start, tiny, 500)
    params = to_params(solved)
    return params if intercept else params._replace(b=g.b)
