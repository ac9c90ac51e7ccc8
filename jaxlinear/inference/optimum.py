"""Whether parameters are those of an optimum, without which errors mean nothing."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Bool

from jaxlinear import checks
from jaxlinear.convex.problem import Problem
from jaxlinear.endings import usable
from jaxlinear.linalg.products import matmul
from jaxlinear.types import Fit, Linear

NEAR = 0.1  # standard errors, within which parameters are those of the optimum


def rounding(size):
    """How far rounding moves outputs, of parameters whose products with x are of this size."""
    return 64 * jnp.finfo(size.dtype).eps * size


def parted(params: Linear | Fit) -> tuple[Linear, Bool[ArrayLike, "*k"]]:
    """The parameters, and whether their fit, where there is one, says that it is an optimum."""
    ended = True
    if isinstance(params, Fit):
        params, ended = params.params, usable(params.report.status)
    return Linear(*(checks.numeric(leaf, "params") for leaf in params)), ended


def nan_unless(sound, errors: Linear) -> Linear:
    """The errors, NaN where the parameters are not those of an optimum."""
    return Linear(
        jnp.where(sound[..., None], errors.w, jnp.nan), jnp.where(sound, errors.b, jnp.nan)
    )


def at_optimum(gradient, meat, directions, problem: Problem, count, size):
    """Whether a step of Newton's, H⁻¹ g, is below a tenth of an error, or below rounding.

    Its error is that of the sandwich: with s_i the slopes of the losses along it, Σ w s against
    √Σ w s². Where the optimum is at infinity no s_i is above 0, so that this is 1 at the least.
    """
    length = jnp.linalg.norm(gradient)
    along = gradient / jnp.where(length == 0, 1, length)
    error = jnp.sqrt(jnp.vdot(along, matmul(meat, along)) / count)
    step = jnp.tensordot(gradient, directions, axes=1)
    moved = jnp.max(jnp.abs(matmul(problem.x, step.T)))
    return (length <= NEAR * error) | (moved <= rounding(size))
