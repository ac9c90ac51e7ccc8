"""How far above the optimum a fit is, and whether there is an optimum at all.

**There is none** where the objective falls for ever along a direction. For a convex loss that is
so exactly where, along outputs Δ = x d with d not penalised, no example's loss rises, however far
one goes, and some example's falls (Rockafellar, *Convex Analysis*, 1970, 27.1; for labels this is
separation: Albert and Anderson, 1984). Newton's method finds such a direction by itself: all else
comes to rest, and what is left of its steps is d. A loss that dies away as e^−t has the slope −g
and the curvature g, so that every step has the length 1 while the promise fades: the sign by which
``runs_away`` knows where to look. It then looks at the examples: those that move, and whether the
loss of one of them is larger far out.

**How far above**: half the squared gradient over l2 is a bound for every convex loss (Boyd and
Vandenberghe, *Convex Optimization*, 2004, 9.1.2), but in single precision and at a small l2 it is
all rounding. Where a step changes outputs by less than ½, the curvature of the losses here changes
by less than a factor of e^½ on the way, and what is left is at most twice what the quadratic model
promises (Bach, "Self-concordant analysis for logistic regression", 2010).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear import factor
from jaxlinear.columns import Units, outputs_of
from jaxlinear.curvature import Problem, mean_curvature
from jaxlinear.line_search import values_at
from jaxlinear.newton import State, objective

_FAR = 1e6  # in outputs: where every loss that will rise has risen


class Certificate(NamedTuple):
    """The objective, the norm of its gradient in the columns as they came, and the gap."""

    value: Float[Array, ""]
    norm: Float[Array, ""]
    gap: Float[Array, ""]


def certificate(
    loss: Callable, problem: Problem, units: Units, theta, state: State, intercept: bool
) -> Certificate:
    """What is certain at θ, the parameters that are returned: rounded, those of ``state``."""
    outputs = outputs_of(problem, theta)
    total = values_at(loss, problem, outputs)
    value, gradient = objective(problem, theta, total)
    d = len(units.scale)
    w, b = gradient[:, :d], gradient[:, d:]
    in_columns = w * units.scale[None] + (b * units.center[None] if intercept else 0)
    norm = factor.norm(jnp.concatenate([in_columns, b], axis=1))
    # What rounding the parameters has cost, at most: the objective is above its tangent.
    rounding = jnp.maximum(jnp.sum(gradient * (theta - state.theta)), 0)
    return Certificate(value, norm, _gap(loss, problem, outputs, gradient, state, d) + rounding)


def _gap(loss: Callable, problem: Problem, outputs, gradient, state: State, d: int):
    penalty = problem.penalty[:, :d]
    fixed = penalty > 0
    bound = jnp.sum(jnp.square(gradient[:, :d]) / jnp.where(fixed, 2 * penalty, jnp.inf))
    bound += _of_intercept(loss, problem, outputs, gradient[:, d:])
    bound = jnp.where(jnp.all(fixed), bound, jnp.inf)
    # Outputs in the thousands, as of prices, are not resolved to ½ of a unit.
    rounding = jnp.sqrt(jnp.finfo(outputs.dtype).eps) * jnp.max(jnp.abs(state.outputs))
    holds = state.moved <= jnp.maximum(0.5, rounding)
    return jnp.minimum(bound, jnp.where(holds, 2 * jnp.maximum(state.gap, state.left), jnp.inf))


def _of_intercept(loss: Callable, problem: Problem, outputs, slope: Float[Array, "k *one"]):
    """½ g² / h in the intercepts, which have no penalty."""
    if not slope.size:
        return jnp.zeros((), slope.dtype)
    g, h = slope[:, 0], mean_curvature(loss, problem, outputs)
    return jnp.sum(jnp.where(g == 0, 0, jnp.square(g) / (2 * h)))


def runs_away(state: State) -> Bool[Array, ""]:
    """Whether the last steps were long, left a good part of the slope along them, or failed.

    Newton's step to an optimum leaves next to nothing; of a loss that dies away it leaves 1 / e.
    """
    long = jnp.maximum(state.moved, jnp.max(state.reach)) > 0.5
    return long | (state.ratio > 0.2) | state.stuck


def recedes(
    loss: Callable, problem: Problem, outputs, change: Float[Array, "n k"], least
) -> Bool[Array, ""]:
    """Whether no loss rises along ``change``, however far, and some fall: there is no optimum.

    Examples that move by less than the part ``least`` of the one that moves most are taken to rest.
    """
    size = jnp.max(jnp.abs(change), axis=1)
    here = problem.share > 0
    largest = jnp.max(size, where=here, initial=0)
    moves = here & (size > least * largest)
    far = _FAR / jnp.where(largest > 0, largest, 1)
    eps = jnp.finfo(outputs.dtype).eps

    def of_example(o, along, y):
        value, slope = jax.value_and_grad(loss)(o, y)
        ahead = loss(o + far * along, y)
        rises = ~(ahead <= value + 8 * eps * jnp.abs(value))
        falls = jnp.sum(slope * along) < -8 * eps * jnp.sum(jnp.abs(slope * along))
        return rises, falls

    rises, falls = jax.vmap(of_example)(outputs, change, problem.y)
    return ~jnp.any(moves & rises) & jnp.any(moves & falls)


def has_no_optimum(
    loss: Callable, problem: Problem, classes: Bool[Array, " k"] | None, state: State
) -> Bool[Array, ""]:
    """Whether the objective falls for ever along the last step, or along all steps together.

    Where outputs are ``classes``, what all share moves nothing, and only those that are True, which
    some example has, are asked.
    """
    free = problem.penalty == 0
    eps = jnp.finfo(state.theta.dtype).eps

    def along(direction, trembling):
        change = outputs_of(problem, jnp.where(free, direction, 0))
        if classes is not None:
            # Only differences count: 0 for those that rise most, or as much, and the others fall.
            change = jnp.where(classes[None], change, -jnp.inf)
            change = change - jnp.max(change, axis=1, keepdims=True)
            change = jnp.where(classes[None], change, 0)
            change = jnp.where(change < trembling * jnp.min(change), change, 0)
        return recedes(loss, problem, state.outputs, change, trembling)

    # What has come to rest still trembles in the last step; all together recedes exactly or not.
    steps = jnp.concatenate([state.step[None], state.clear])
    some = jax.vmap(functools.partial(along, trembling=3e-3))(steps)
    return jnp.any(some) | along(state.theta, 8 * eps)
