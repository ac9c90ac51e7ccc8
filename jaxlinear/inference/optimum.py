"""Whether parameters are at an optimum: elsewhere standard errors are meaningless."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Bool

from jaxlinear import checks
from jaxlinear.convex.problem import Problem
from jaxlinear.endings import usable
from jaxlinear.linalg.products import matmul
from jaxlinear.types import Fit, Linear

NEAR = 0.1  # standard errors: parameters this near to the optimum count as being there


def rounding(size):
    """The rounding error to expect in outputs whose terms, w x and b, are of this size."""
    return 64 * jnp.finfo(size.dtype).eps * size


def parted(params: Linear | Fit) -> tuple[Linear, Bool[ArrayLike, "*k"]]:
    """The parameters, and whether their ``Fit`` ended at an optimum: True for bare parameters."""
    ended = True
    if isinstance(params, Fit):
        params, ended = params.params, usable(params.report.status)
    return Linear(*(checks.numeric(leaf, "params") for leaf in params)), ended


def nan_unless(sound, errors: Linear) -> Linear:
    """The errors, NaN where the parameters are not at an optimum."""
    return Linear(
        jnp.where(sound[..., None], errors.w, jnp.nan), jnp.where(sound, errors.b, jnp.nan)
    )


def at_optimum(gradient, meat, directions, problem: Problem, count, size):
    """Whether a Newton step H⁻¹ g is below a tenth of its robust error, or below rounding.

    With s_i the slope of the loss of example i along the step, this compares Σ w s with √Σ w s².
    Where the optimum is at infinity no s_i is positive, so that their ratio is at least 1.
    """
    length = jnp.linalg.norm(gradient)
    along = gradient / jnp.where(length == 0, 1, length)
    error = jnp.sqrt(jnp.vdot(along, matmul(meat, along)) / count)
    step = jnp.tensordot(gradient, directions, axes=1)
    moved = jnp.max(jnp.abs(matmul(problem.x, step.T)))
    return (length <= NEAR * error) | (moved <= rounding(size))
