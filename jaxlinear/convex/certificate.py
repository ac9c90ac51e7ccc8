"""How far above the optimum a fit is; ``recession`` says whether there is an optimum at all.

Half the squared gradient over l2 is a bound for every convex loss (Boyd and Vandenberghe, *Convex
Optimization*, 2004, 9.1.2), but in single precision and at a small l2 it is all rounding. Where a
step changes outputs by less than ½, the curvature of the losses here changes by less than a factor
of e^½ on the way, and what is left is at most twice what the quadratic model promises (Bach,
"Self-concordant analysis for logistic regression", 2010).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex.columns import Units
from jaxlinear.convex.problem import (
    Problem,
    Values,
    curvatures,
    gradient_at,
    outputs_of,
    values_at,
)
from jaxlinear.convex.state import State
from jaxlinear.linalg.products import weighted_rows
from jaxlinear.loops import when
from jaxlinear.types import Linear


class PerExample(NamedTuple):
    """The outputs of the examples, their losses, and the slopes of these times their shares."""

    outputs: Float[Array, "n k"]
    losses: Float[Array, " n"]
    slopes: Float[Array, "n k"]


class Certificate(NamedTuple):
    """The objective, its gradient in the columns as they came, and the gap."""

    value: Float[Array, ""]
    gradient: Linear
    gap: Float[Array, ""]
    there: PerExample


def certificate(
    loss: Callable, problem: Problem, units: Units, theta, state: State, intercept: bool
) -> Certificate:
    """What is certain at θ, the parameters that are returned: rounded, those of ``state``."""
    outputs = outputs_of(problem, theta)
    total = values_at(loss, problem, outputs)
    d = len(units.scale)

    def moments(outputs):
        return weighted_rows(curvatures(loss, problem, outputs), problem.x)

    def bounded(operand):
        outputs, gradient = operand
        return bound(problem, gradient, moments(outputs) if gradient.shape[1] > d else None, d)

    def promised_or_bounded(gradient, promised, rounding):
        # A bound takes a pass over x: it is left out where nothing is left to certify.
        operand = outputs, gradient
        return when(promised > rounding, bounded, operand, jnp.full_like(promised, jnp.inf))

    gradient = gradient_at(problem, theta, total)
    told = certified(problem, units, theta, state, total, gradient, promised_or_bounded, intercept)
    return told._replace(
        there=PerExample(outputs, jax.vmap(loss)(outputs, problem.target), total.slopes)
    )


def certified(
    problem: Problem,
    units: Units,
    theta,
    state: State,
    total: Values,
    gradient: Float[Array, "k p"],
    bounded: Callable,
    intercept: bool,
) -> Certificate:
    """What is certain by the values and the gradient at θ, without what is known per example.

    ``bounded(gradient, promised, rounding)`` is a bound, wanted where more is ``promised`` than
    ``rounding``.
    """
    value = total.value + jnp.sum(problem.penalty * jnp.square(theta)) / 2
    d = len(units.scale)
    w, b = gradient[:, :d], gradient[:, d:]
    in_columns = w * units.scale[None] + (b * units.center[None] if intercept else 0)
    # What rounding the parameters has cost, at most: the objective is above its tangent.
    cost = jnp.maximum(jnp.sum(gradient * (theta - state.theta)), 0)
    known = state.short & ~_leaves_out(state, gradient, total.slopes)
    promised = jnp.where(known, 2 * jnp.maximum(state.gap, state.left), jnp.inf)
    rounding = 10 * jnp.finfo(promised.dtype).eps * jnp.maximum(state.size, state.floor)
    gap = jnp.minimum(promised, bounded(gradient, promised, rounding)) + cost
    return Certificate(value, Linear(in_columns, b.sum(axis=1)), gap, None)


def _leaves_out(state: State, gradient: Float[Array, "k p"], slopes) -> Bool[Array, ""]:
    """Whether H⁻¹ g leaves out a coefficient without curvature, whose gradient is not rounding.

    So it is with Huber's loss where all residuals are large. Where no slopes are known, nothing is
    taken for rounding.
    """
    noise = 0 if slopes is None else 64 * jnp.finfo(slopes.dtype).eps * jnp.sum(jnp.abs(slopes))
    return jnp.any((state.ahead == 0) & (jnp.abs(gradient) > noise))


def bound(problem: Problem, gradient: Float[Array, "k p"], moments, d: int):
    """How far the objective is above its optimum at most: ∞ where a coefficient has no penalty λ.

    Of a step u, v in w and b it rises by no less than g·u + λ u²/2 + γ v + s (v + m·u)²/2, where s
    are all curvatures and m the mean of x by them (that of a mean square is no less than that of
    the mean): ``moments`` are s m and s, where there is an intercept. The least of that is
    − (g − γ m)² / 2λ − γ² / 2s. Of classes, which share curvature, the part of the intercepts is
    an estimate.
    """
    slope, penalty = gradient[:, :d], problem.penalty[:, :d]
    found = 0.0
    if moments is not None:
        intercept, size = gradient[:, d], moments[:, d]
        curved = size > 0
        step = jnp.where(curved, intercept / jnp.where(curved, size, 1), 0)
        slope -= step[:, None] * moments[:, :d]
        found = jnp.sum(jnp.where(curved | (intercept == 0), step * intercept / 2, jnp.inf))
    fixed = penalty > 0
    found += jnp.sum(jnp.square(slope) / jnp.where(fixed, 2 * penalty, jnp.inf))
    return jnp.where(jnp.all(fixed), found, jnp.inf)
