"""Whether there is an optimum at all.

There is none where the objective falls for ever along a direction. For a convex loss that is so
exactly where, along outputs Δ = x d with d not penalised, no example's loss rises, however far one
goes, and some example's falls (Rockafellar, *Convex Analysis*, 1970, 27.1; for labels this is
separation: Albert and Anderson, 1984). Newton's method finds such a direction by itself: all else
comes to rest, and what is left of its steps is d. A loss that dies away as e^−t has the slope −g
and the curvature g, so that every step has the length 1 while the promise fades: the sign by which
``runs_away`` knows where to look. It then looks at the examples: those that move, and whether the
loss of one of them is larger far out.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex.certificate import PerExample
from jaxlinear.convex.problem import Problem, outputs_of
from jaxlinear.convex.state import State
from jaxlinear.loops import when

_TOGETHER = 2**18  # outputs, at most, for which all directions are looked along at once
_FAR = 1e6  # in outputs: where every loss that will rise has risen


def runs_away(state: State) -> Bool[Array, ""]:
    """Whether the last steps were long, left a good part of the slope along them, or failed.

    Newton's step to an optimum leaves next to nothing; of a loss that dies away it leaves 1 / e,
    and of one that was not found all.
    """
    return (jnp.maximum(state.moved, jnp.max(state.reach)) > 0.5) | (state.ratio > 0.2)


def farthest(problem: Problem, change: Float[Array, "n k"]) -> Float[Array, ""]:
    """The largest change of an output."""
    size = jnp.max(jnp.abs(change), axis=1)
    return jnp.max(size, where=problem.share > 0, initial=0)


class Signs(NamedTuple):
    """Whether the loss of some example rises along a direction, however far, and of one falls."""

    rises: Bool[Array, ""]
    falls: Bool[Array, ""]


def signs(
    loss: Callable, problem: Problem, there: PerExample, change: Float[Array, "n k"], largest, rest
) -> Signs:
    """There is no optimum where no loss rises along ``change``, and some fall.

    Examples that move by less than the part ``rest`` of the one that moves most, by ``largest``,
    are taken to rest.
    """
    moves = (problem.share > 0) & (jnp.max(jnp.abs(change), axis=1) > rest * largest)
    far = _FAR / jnp.where(largest > 0, largest, 1)
    noise = 8 * jnp.finfo(change.dtype).eps
    ahead = jax.vmap(loss)(there.outputs + far * change, problem.target)
    rises = ~(ahead <= there.losses + noise * jnp.abs(there.losses))
    along = there.slopes * change
    falls = jnp.sum(along, axis=1) < -noise * jnp.sum(jnp.abs(along), axis=1)
    return Signs(jnp.any(moves & rises), jnp.any(moves & falls))


class Endless(NamedTuple):
    """Whether there is no optimum; or one only of the classes with examples, others ``absent``."""

    all: Bool[Array, ""]
    absent: Bool[Array, ""]


class Directions(NamedTuple):
    """Where to look for an optimum at infinity: steps, what of them counts as rest, and which is
    that of the ``absent`` classes.
    """

    theta: Float[Array, "m k p"]
    rest: Float[Array, " m"]
    absent: Bool[Array, " m"]


def has_no_optimum(
    loss: Callable,
    problem: Problem,
    classes: Bool[Array, " k"] | None,
    state: State,
    there: PerExample,
    doubtful: Bool[Array, ""],
) -> Endless:
    """Whether the objective falls for ever along the last steps, or along all steps together.

    It is asked only where that is ``doubtful``, and the steps say that it may be so.
    """
    directions = directions_of(state, classes)

    def along(direction):
        change = change_along(problem, classes, direction)
        largest = farthest(problem, change)
        change = without_rest(classes, change, largest, direction.rest)
        found = signs(loss, problem, there, change, largest, direction.rest)
        return ~found.rises & found.falls

    def look(directions):
        # Side by side where there is room.
        together = len(directions.rest) if state.outputs.size <= _TOGETHER else None
        return jax.lax.map(along, directions, batch_size=together)

    needed = is_suspect(state, classes, doubtful)
    return endless(state, classes, doubtful, when(needed, look, directions, directions.rest < 0))


def directions_of(state: State, classes: Bool[Array, " k"] | None) -> Directions:
    """The last steps, and all steps together.

    Where outputs are ``classes``, what all share moves nothing, and only those are asked that some
    example has: those that are True. The objective falls for ever with the outputs of the others.
    """
    # What has come to rest still trembles in the last steps; all together recedes exactly or not.
    eps = jnp.finfo(state.theta.dtype).eps
    thetas = jnp.concatenate([state.step[None], state.clear, state.theta[None]])
    rest = jnp.array([3e-3, 3e-3, 3e-3, 8 * eps], thetas.dtype)
    if classes is not None:
        thetas, rest = jnp.concatenate([thetas, 0 * thetas[:1]]), jnp.append(rest, 0)
    return Directions(thetas, rest, rest == 0)


def is_suspect(state: State, classes: Bool[Array, " k"] | None, doubtful) -> Bool[Array, ""]:
    """Whether the examples have to be looked at."""
    suspect = doubtful & runs_away(state)
    return suspect if classes is None else suspect | ~jnp.all(classes)


def endless(state: State, classes, doubtful, found: Bool[Array, " m"]) -> Endless:
    """What follows from the directions along which the objective was ``found`` to fall for ever."""
    no_optimum = doubtful & runs_away(state) & jnp.any(found[:4])
    if classes is None:
        return Endless(no_optimum, jnp.array(False))
    absent = found[4]
    return Endless(no_optimum | absent & (jnp.sum(classes) < 2), absent)


def change_along(problem: Problem, classes, direction: Directions) -> Float[Array, "n k"]:
    """How outputs change along a direction; of classes only the differences from the largest.

    Those that rise most have 0, and the others fall.
    """
    theta, _, absent = direction
    change = outputs_of(problem, jnp.where(problem.penalty == 0, theta, 0))
    if classes is None:
        return change
    others = jnp.where(classes[None], jnp.zeros_like(change), -1)
    change = jnp.where(classes[None], change, -jnp.inf)
    change = jnp.where(classes[None], change - jnp.max(change, axis=1, keepdims=True), 0)
    return jnp.where(absent, others, change)


def without_rest(classes, change: Float[Array, "n k"], largest, rest):
    """Of classes, those that fall by as good as nothing rise as much as the first."""
    return change if classes is None else jnp.where(change < -rest * largest, change, 0)
