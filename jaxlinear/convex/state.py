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
    ``classes``: what is added to all outputs of an example changes nothing. ``warm``: the start may
    be anywhere, else it is at intercepts alone, or 0.
    """

    loss: Callable
    form: Curvature
    tol: Float[Array, ""]
    most: int
    least: Callable | None = None
    classes: bool = False
    warm: bool = True


class State(NamedTuple):
    """Where the iteration is, and what is known of the steps so far.

    At θ: ``value`` is the mean loss, ``size`` what its rounding is relative to, ``gradient`` that
    of the objective, ``ahead`` the gradient times an approximate inverse Hessian: of the form that
    was ``built`` last and of the last ``steps`` (L-BFGS). ``scale`` is what ``tol`` is relative to:
    the mean loss less ``least``, the least that it can be for these targets (of counts near 1e8
    nearly all of a loss is what no model changes), and no less than ``floor``.

    Of the last step: ``gap`` is the decrease that the quadratic model promised for it, ``left``
    the decrease that it promises for the next, ``bound`` the most by which the objective may
    still decrease, ``moved`` the largest change of an output, ``short`` whether that was at most
    ½, or no more than rounding, ``ratio`` the slope along the step at its end, relative to that at
    its start (1 where no length was found).

    ``calm`` counts the last Newton steps in a row that promised no more than ``tol`` and left
    little. ``clear`` are the last steps that promised more than two levels of rounding, and
    ``reach`` the largest change of an output in them: ``recession`` looks along them for an
    optimum at infinity.
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


def started(method: Method, prepared, problem: Problem, theta) -> State:
    """The state at θ, before the first step."""
    form = method.form
    outputs = outputs_of(problem, theta) if method.warm else _of_intercepts(problem, theta)
    total = values_at(method.loss, problem, outputs)
    gradient = gradient_at(problem, theta, total)
    least = None
    if method.least is not None:
        least = jnp.sum(problem.share * jax.vmap(method.least)(problem.target)).astype(theta.dtype)
    if form.begin:
        built = form.begin(prepared, problem, method.loss, outputs)
        ahead = form.apply(problem, prepared, built, gradient)
    else:
        build = functools.partial(form.build, prepared, problem, method.loss)
        shape = jax.eval_shape(build, outputs)
        built = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
        ahead = jnp.zeros_like(theta)
    steps = lbfgs.none(form.memory, theta)
    return at_start(theta, total, gradient, least, ahead)._replace(
        outputs=outputs, steps=steps, built=built
    )


def at_start(theta, total: Values, gradient, least, ahead) -> State:
    """The state before the first step, but for what holds a number for every example."""
    zero = jnp.zeros((), theta.dtype)
    least = zero - jnp.inf if least is None else least
    scale = scale_of(total, least, zero)
    return State(
        theta=theta,
        outputs=None,
        value=total.value,
        gradient=gradient,
        size=total.size,
        scale=scale,
        least=least,
        floor=jnp.sqrt(jnp.finfo(theta.dtype).eps) * scale,  # an objective may go to 0
        ahead=ahead,
        steps=None,
        built=None,
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


def _of_intercepts(problem: Problem, theta) -> Float[Array, "n k"]:
    """The outputs where w is 0: of x only the column of ones at its end has a part in them."""
    return problem.x[:, -1:] * theta[None, :, -1]


def scale_of(total: Values, least, floor):
    """What ``tol`` is relative to."""
    noise = 4 * jnp.finfo(floor.dtype).eps * total.size
    return jnp.maximum(jnp.minimum(total.value - least, total.size), jnp.maximum(noise, floor))


def is_unfinished(method: Method, state: State):
    """Whether another step is to be taken."""
    return (state.number < method.most) & ~has_arrived(state, method.tol) & ~state.stuck


def has_arrived(state: State, tol):
    """Whether the optimum is reached.

    It is where the bound is below a tenth of ``tol``, or where a Newton step promised less than
    ``tol`` and the next would promise less again. After a step that moves an output by more than ½
    this must hold ``_CALM`` times in a row: on the way to an optimum that is far away, or at
    infinity, every step promises little.
    """
    enough = jnp.where(state.short, 1, _CALM)
    return (state.calm >= enough) | (state.bound <= tol * state.scale / 10)


def is_last(form: Curvature, state: State, tol):
    """Whether the next step promises so little that it may be the last, a Newton step.

    With L-BFGS it must promise 50 times less, since directions of little curvature that no step
    has explored yet are missing from its promise.
    """
    return state.left <= tol * state.scale / (50 if form.memory else 1)


def bound_of(problem: Problem, gradient, ahead):
    """‖g‖² / (2 λ), the most that a convex objective is above its optimum; inf where λ = 0.

    Intercepts have no penalty: for them it is what the next step promises.
    """
    free = problem.penalty == 0
    squares = jnp.square(gradient) / jnp.where(free, 1, problem.penalty)
    bound = jnp.sum(jnp.where(free, gradient * ahead, squares)) / 2
    return jnp.where(jnp.sum(free) <= len(free), bound, jnp.inf)
