"""Where the iteration is, what it knows, and when it is done."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxlinear.convex import lbfgs
from jaxlinear.convex.lbfgs import Steps
from jaxlinear.convex.preconditioners.form import Curvature
from jaxlinear.convex.problem import Problem, Values, gradient_at, outputs_of, values_at

_CALM = 4  # long steps in a row that promise little, after which there is nothing to gain


class Method(NamedTuple):
    """What a solve is told: the loss, the form of its curvature, when to stop.

    ``least(y)`` is the least that the loss of an example can be; None where that is not known.
    ``classes``: what is added to all outputs of an example changes nothing.
    """

    loss: Callable
    form: Curvature
    tol: Float[Array, ""]
    most: int
    least: Callable | None = None
    classes: bool = False


class State(NamedTuple):
    """Where the iteration is, and what it knows.

    ``value`` is the mean loss, ``gradient`` that of the objective. ``size`` is what the rounding of
    the value is relative to, ``scale`` what ``tol`` is: the mean loss less ``least``, the least it
    can be (of counts near 1e8 nearly all of a loss is what no model changes), and no less than
    ``floor``. ``ahead`` is H⁻¹ times the gradient by the form of H that was ``built`` last and the
    last steps. Of the last step, ``gap`` is the decrease that the quadratic model promised to it,
    ``left`` what it leaves to the next by ``ahead``, ``bound`` what it leaves at most, ``moved``
    the largest change of an output in it, ``short`` whether that was ½ at most, or all rounding,
    and ``ratio`` the slope along it that it left, as a part of the slope before: 1 where no length
    was found. ``calm`` are the last steps in a row of Newton's that promised no more than ``tol``,
    and left little. ``clear`` are the last steps that promised more than two levels of rounding,
    and ``reach`` the largest change of an output in them.
    """

    theta: Float[Array, "k p"]
    outputs: Float[Array, "n k"]
    value: Float[Array, ""]
    gradient: Float[Array, "k p"]
    size: Float[Array, ""]
    scale: Float[Array, ""]
    least: Float[Array, ""]
    floor: Float[Array, ""]
    ahead: Float[Array, "k p"]
    steps: Steps
    built: Any
    number: Int[Array, ""]
    step: Float[Array, "k p"]
    clear: Float[Array, "2 k p"]
    reach: Float[Array, "2"]
    gap: Float[Array, ""]
    left: Float[Array, ""]
    bound: Float[Array, ""]
    moved: Float[Array, ""]
    short: Bool[Array, ""]
    ratio: Float[Array, ""]
    calm: Int[Array, ""]
    stuck: Bool[Array, ""]


def started(setting: Method, prepared, problem: Problem, theta) -> State:
    """The state at θ, before the first step."""
    form = setting.form
    outputs = outputs_of(problem, theta)
    total = values_at(setting.loss, problem, outputs)
    gradient = gradient_at(problem, theta, total)
    zero = jnp.zeros((), theta.dtype)
    least = zero - jnp.inf
    if setting.least is not None:
        least = jnp.sum(problem.share * jax.vmap(setting.least)(problem.y)).astype(theta.dtype)
    scale = scale_of(total, least, zero)
    if form.begin:
        built = form.begin(prepared, problem, setting.loss, outputs)
        ahead = form.apply(problem, prepared, built, gradient)
    else:
        build = functools.partial(form.build, prepared, problem, setting.loss)
        shape = jax.eval_shape(build, outputs)
        built = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
        ahead = jnp.zeros_like(theta)
    return State(
        theta=theta,
        outputs=outputs,
        value=total.value,
        gradient=gradient,
        size=total.size,
        scale=scale,
        least=least,
        floor=jnp.sqrt(jnp.finfo(theta.dtype).eps) * scale,  # an objective may go to 0
        ahead=ahead,
        steps=lbfgs.none(form.memory, theta),
        built=built,
        number=jnp.int32(0),
        step=jnp.zeros_like(theta),
        clear=jnp.stack([0 * theta, 0 * theta]),
        reach=jnp.stack([zero, zero]),
        gap=zero + jnp.inf,
        left=zero + jnp.inf,
        bound=zero + jnp.inf,
        moved=zero,
        short=jnp.array(False),
        ratio=zero,
        calm=jnp.int32(0),
        stuck=jnp.array(False),
    )


def scale_of(total: Values, least, floor):
    """What ``tol`` is relative to."""
    noise = 4 * jnp.finfo(floor.dtype).eps * total.size
    return jnp.maximum(jnp.minimum(total.value - least, total.size), jnp.maximum(noise, floor))


def is_unfinished(setting: Method, state: State):
    """Whether another step is to be taken."""
    return (state.number < setting.most) & ~has_arrived(state, setting.tol) & ~state.stuck


def has_arrived(state: State, tol):
    """Whether nothing is left to gain.

    A bound says so; or a step of Newton's promised little, and left little: the curvature did not
    change. A long step may be one of many to an optimum far away, and takes some more to tell.
    """
    enough = jnp.where(state.short, 1, _CALM)
    return (state.calm >= enough) | (state.bound <= tol * state.scale / 10)


def is_last(form: Curvature, state: State, tol):
    """Whether the next step promises little enough to end with it: then it is Newton's.

    What L-BFGS promises may be too little, for what it has not seen.
    """
    return state.left <= tol * state.scale / (50 if form.memory else 1)


def bound_of(problem: Problem, gradient, ahead):
    """‖g‖² / (2 λ): how far a convex objective is above its optimum, at most; inf without λ.

    The intercepts, which have no penalty, count as what a step promises to them.
    """
    free = problem.penalty == 0
    squares = jnp.square(gradient) / jnp.where(free, 1, problem.penalty)
    bound = jnp.sum(jnp.where(free, gradient * ahead, squares)) / 2
    return jnp.where(jnp.sum(free) <= len(free), bound, jnp.inf)
