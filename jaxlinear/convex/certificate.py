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

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex.columns import Units
from jaxlinear.convex.problem import Problem, curvatures, gradient_at, outputs_of, values_at
from jaxlinear.convex.state import State
from jaxlinear.linalg.products import weighted_rows
from jaxlinear.loops import when
from jaxlinear.types import Linear

_TOGETHER = 2**18  # outputs, at most, for which all directions are looked along at once
_FAR = 1e6  # in outputs: where every loss that will rise has risen


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
    value = total.value + jnp.sum(problem.penalty * jnp.square(theta)) / 2
    gradient = gradient_at(problem, theta, total)
    d = len(units.scale)
    w, b = gradient[:, :d], gradient[:, d:]
    in_columns = w * units.scale[None] + (b * units.center[None] if intercept else 0)
    # What rounding the parameters has cost, at most: the objective is above its tangent.
    rounding = jnp.maximum(jnp.sum(gradient * (theta - state.theta)), 0)
    gap = _gap(loss, problem, outputs, gradient, state, d) + rounding
    losses = jax.vmap(loss)(outputs, problem.target)
    return Certificate(
        value, Linear(in_columns, b.sum(axis=1)), gap, PerExample(outputs, losses, total.slopes)
    )


def _gap(loss: Callable, problem: Problem, outputs, gradient, state: State, d: int):
    promised = jnp.where(state.short, 2 * jnp.maximum(state.gap, state.left), jnp.inf)
    # A bound takes a pass over x: it is left out where nothing is left to certify.
    rounding = 10 * jnp.finfo(promised.dtype).eps * jnp.maximum(state.size, state.floor)

    def bounded(operand):
        outputs, gradient, promised = operand
        return jnp.minimum(_bound(loss, problem, outputs, gradient, d), promised)

    return when(promised > rounding, bounded, (outputs, gradient, promised), promised)


def _bound(loss: Callable, problem: Problem, outputs, gradient: Float[Array, "k p"], d: int):
    """How far the objective is above its optimum at most: ∞ where a coefficient has no penalty λ.

    Of a step u, v in w and b it rises by no less than g·u + λ u²/2 + γ v + s (v + m·u)²/2, where s
    are all curvatures and m the mean of x by them (that of a mean square is no less than that of
    the mean). The least of that is − (g − γ m)² / 2λ − γ² / 2s. Of classes, which share curvature,
    the part of the intercepts is an estimate.
    """
    slope, penalty = gradient[:, :d], problem.penalty[:, :d]
    bound = 0.0
    if gradient.shape[1] > d:
        moments = weighted_rows(curvatures(loss, problem, outputs), problem.x)
        intercept, size = gradient[:, d], moments[:, d]
        curved = size > 0
        step = jnp.where(curved, intercept / jnp.where(curved, size, 1), 0)
        slope -= step[:, None] * moments[:, :d]
        bound = jnp.sum(jnp.where(curved | (intercept == 0), step * intercept / 2, jnp.inf))
    fixed = penalty > 0
    bound += jnp.sum(jnp.square(slope) / jnp.where(fixed, 2 * penalty, jnp.inf))
    return jnp.where(jnp.all(fixed), bound, jnp.inf)


def runs_away(state: State) -> Bool[Array, ""]:
    """Whether the last steps were long, left a good part of the slope along them, or failed.

    Newton's step to an optimum leaves next to nothing; of a loss that dies away it leaves 1 / e,
    and of one that was not found all.
    """
    return (jnp.maximum(state.moved, jnp.max(state.reach)) > 0.5) | (state.ratio > 0.2)


def recedes(
    loss: Callable, problem: Problem, there: PerExample, change: Float[Array, "n k"], rest
) -> Bool[Array, ""]:
    """Whether no loss rises along ``change``, however far, and some fall: there is no optimum.

    Examples that move by less than the part ``rest`` of the one that moves most are taken to rest.
    """
    size = jnp.max(jnp.abs(change), axis=1)
    here = problem.share > 0
    largest = jnp.max(size, where=here, initial=0)
    moves = here & (size > rest * largest)
    far = _FAR / jnp.where(largest > 0, largest, 1)
    noise = 8 * jnp.finfo(change.dtype).eps
    ahead = jax.vmap(loss)(there.outputs + far * change, problem.target)
    rises = ~(ahead <= there.losses + noise * jnp.abs(there.losses))
    along = there.slopes * change
    falls = jnp.sum(along, axis=1) < -noise * jnp.sum(jnp.abs(along), axis=1)
    return ~jnp.any(moves & rises) & jnp.any(moves & falls)


class Endless(NamedTuple):
    """Whether there is no optimum; or one only of the classes with examples, others ``absent``."""

    all: Bool[Array, ""]
    absent: Bool[Array, ""]


def has_no_optimum(
    loss: Callable,
    problem: Problem,
    classes: Bool[Array, " k"] | None,
    state: State,
    there: PerExample,
    doubtful: Bool[Array, ""],
) -> Endless:
    """Whether the objective falls for ever along the last steps, or along all steps together.

    It is asked only where that is ``doubtful``, and the steps say that it may be so. Where outputs
    are ``classes``, what all share moves nothing, and only those are asked that some example has:
    those that are True. The objective falls for ever with the outputs of the others.
    """
    # What has come to rest still trembles in the last steps; all together recedes exactly or not.
    eps = jnp.finfo(state.theta.dtype).eps
    thetas = jnp.concatenate([state.step[None], state.clear, state.theta[None]])
    rest = jnp.array([3e-3, 3e-3, 3e-3, 8 * eps], thetas.dtype)

    def along(direction):
        theta, rest, absent = direction
        change = outputs_of(problem, jnp.where(problem.penalty == 0, theta, 0))
        if classes is not None:
            others = jnp.where(classes[None], jnp.zeros_like(change), -1)
            change = jnp.where(absent, others, _among(classes, change, rest))
        return recedes(loss, problem, there, change, rest)

    def look(directions):
        # Side by side where there is room.
        together = len(rest) if state.outputs.size <= _TOGETHER else None
        return jax.lax.map(along, directions, batch_size=together)

    suspect = needed = doubtful & runs_away(state)
    if classes is not None:
        thetas, rest = jnp.concatenate([thetas, 0 * thetas[:1]]), jnp.append(rest, 0)
        needed = suspect | ~jnp.all(classes)
    found = when(needed, look, (thetas, rest, rest == 0), rest < 0)
    endless = suspect & jnp.any(found[:4])
    if classes is None:
        return Endless(endless, jnp.array(False))
    absent = found[4]
    return Endless(endless | absent & (jnp.sum(classes) < 2), absent)


def _among(classes: Bool[Array, " k"], change, rest):
    """Only differences count: 0 for those that rise most, or as much, and the others fall."""
    change = jnp.where(classes[None], change, -jnp.inf)
    change = change - jnp.max(change, axis=1, keepdims=True)
    change = jnp.where(classes[None], change, 0)
    return jnp.where(change < rest * jnp.min(change), change, 0)
