"""One step: the curvature where it is due, a direction, its length, and what is known then."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex import conjugate_gradients, lbfgs, line_search
from jaxlinear.convex.line_search import Found, Ray
from jaxlinear.convex.preconditioners.form import SMALL
from jaxlinear.convex.problem import (
    Problem,
    gradient_at,
    hessian_product,
    outputs_of,
    without_shared,
)
from jaxlinear.convex.state import Method, State, bound_of, is_last, is_unfinished, scale_of
from jaxlinear.linalg.products import matmul
from jaxlinear.loops import when
from jaxlinear.rows.absent import where_present


def advance(method: Method, prepared, problem: Problem, state: State, clock, ending) -> State:
    """One step of a model that is not done.

    With L-BFGS a model whose next step may be its last waits until ``ending``: that step takes
    products with the Hessian, for which all models of a ``vmap`` would have to wait.
    """
    form = method.form
    last = is_last(form, state, method.tol)
    active = is_unfinished(method, state)
    if form.memory:
        active &= ending | ~last
    newton = last | (form.memory == 0)

    built, ahead = _rebuilt(method, prepared, problem, state, clock, last)
    precondition = functools.partial(form.apply, problem, prepared, built)
    if form.products:
        inverse_hessian = functools.partial(
            _inverse_hessian, method, problem, state.steps, precondition
        )
        step = functools.partial(_newton_step, method, problem, inverse_hessian)
        ahead = when(active & newton, step, (state, ahead), ahead)
    direction, blind = direction_of(method, problem, state.gradient, ahead)
    change = outputs_of(problem, direction)
    ray = ray_of(problem, state, direction, change, blind)
    found = line_search.search(method.loss, problem, ray)

    better = active & found.good
    step = found.t * direction
    theta = state.theta + step
    gradient = gradient_at(problem, theta, found.values)
    steps = lbfgs.with_step(
        state.steps, step, gradient - state.gradient, better, clock,
        precondition if form.rescaled else None,
    )  # fmt: skip
    following = _inverse_hessian(method, problem, steps, precondition, gradient)
    largest = jnp.max(where_present(problem.present, jnp.abs(change)))
    tried = Tried(step, found, ray.slope, blind, gradient, following, largest, newton)
    is_rounding = functools.partial(_is_rounding, problem, state.outputs)
    return concluded(method, problem, state, tried, active, is_rounding)._replace(
        outputs=jnp.where(better, state.outputs + found.t * change, state.outputs),
        steps=steps,
        built=built,
    )


class Tried(NamedTuple):
    """A step, and what is known at its end.

    ``slope`` is that along the direction at its start, ``following`` about H⁻¹ g at the end,
    ``largest`` the largest change of an output along the whole direction.
    """

    step: Float[Array, "k p"]
    found: Found
    slope: Float[Array, ""]
    blind: Bool[Array, ""]
    gradient: Float[Array, "k p"]
    following: Float[Array, "k p"]
    largest: Float[Array, ""]
    newton: Bool[Array, ""]


def concluded(
    method: Method, problem: Problem, state: State, tried: Tried, active, is_rounding: Callable
) -> State:
    """The state after a step, but for what holds a number for every example, and the curvature.

    ``is_rounding(moved)`` is whether outputs that move by so much are all rounding.
    """
    step, found, slope, blind, gradient, following, largest, newton = tried
    form, better = method.form, active & found.good
    eps = jnp.finfo(step.dtype).eps
    promise, ratio = jnp.where(blind, jnp.inf, -slope / 2), found.slope / slope
    # Near the end a change of the value is all rounding. Whether there is progress is seen by the
    # promises, unless a kink has cut the step short.
    no_gain = (found.rise >= 0) & (promise > state.gap / 4) & (found.t > 0.01)
    # Where the curvature is less than the damping of its factor, steps are too short for ever.
    noise = 32 * eps * state.size
    no_gain |= (found.rise >= -noise) & (promise > 0.8 * state.gap) & (ratio > 0.8)
    failed = active & (~found.good | no_gain)
    weary = failed & ~newton  # L-BFGS has no more to offer: the next step is a Newton step
    # Also where no step was taken, because there was nothing to gain.
    moved = jnp.where(found.good, found.t, 1) * largest
    level = jnp.sqrt(eps) * state.size
    clear = better & (
        promise > jnp.stack([jnp.maximum(level, state.floor), jnp.sqrt(eps) * state.scale])
    )

    def choose(new, old):
        return jnp.where(better, new, old)

    scale = choose(scale_of(found.values, state.least, state.floor), state.scale)
    left = choose(jnp.sum(following * gradient) / 2, state.left)
    calm = newton & (jnp.maximum(promise, left / 10) <= method.tol * scale)
    short = moved <= 0.5
    short = when(calm & ~short, is_rounding, moved, short)

    return state._replace(
        theta=choose(state.theta + step, state.theta),
        value=choose(found.values.value, state.value),
        gradient=choose(gradient, state.gradient),
        size=choose(found.values.size, state.size),
        scale=scale,
        ahead=choose(following, state.ahead),
        number=state.number + active,
        step=choose(step, state.step),
        clear=jnp.where(clear[:, None, None], step[None], state.clear),
        reach=jnp.where(clear, moved, state.reach),
        gap=jnp.where(active, promise, state.gap),
        left=jnp.where(weary, 0, left),
        bound=choose(bound_of(problem, gradient, following), state.bound)
        if form.memory and step.size > SMALL
        else state.bound,
        moved=jnp.where(active, moved, state.moved),
        short=jnp.where(active, short, state.short),
        ratio=jnp.where(active, jnp.where(found.good, ratio, 1), state.ratio),
        calm=jnp.where(active, jnp.where(calm, state.calm + 1, 0), state.calm),
        stuck=state.stuck | (failed & newton),
    )


def _is_rounding(problem: Problem, outputs, moved):
    return is_small(moved, jnp.sum(matmul(problem.share, jnp.abs(outputs))))


def is_small(moved, outputs):
    """Outputs in the thousands, as of prices, are not resolved to ½ of a unit."""
    return moved <= 4 * jnp.sqrt(jnp.finfo(outputs.dtype).eps) * outputs


def _rebuilt(method: Method, prepared, problem: Problem, state: State, clock, last):
    """The form built anew where that is due, and H⁻¹ g by it; else what there is."""
    form = method.form
    if form.due is None:
        return state.built, state.ahead

    rebuild = functools.partial(_built, method, prepared, problem)
    due = form.due(clock, state.left / state.gap, last)
    return when(due, rebuild, state, (state.built, state.ahead))


def _built(method: Method, prepared, problem: Problem, state: State):
    """The form at the outputs of a state, and H⁻¹ g by it and the last steps."""
    built = method.form.build(prepared, problem, method.loss, state.outputs)
    precondition = functools.partial(method.form.apply, problem, prepared, built)
    return built, _inverse_hessian(method, problem, state.steps, precondition, state.gradient)


def _inverse_hessian(method: Method, problem: Problem, steps, precondition: Callable, g):
    """H⁻¹ g, as the form and the last steps know it.

    Of classes less what all share: there H has next to no curvature, and less than none once it is
    rounded, so that H⁻¹ makes much of the rounding of a gradient.
    """
    found = lbfgs.inverse_hessian(steps, precondition, g)
    return without_shared(problem, found) if method.classes else found


def grown(method: Method, prepared, problem: Problem, state: State):
    """What was prepared, grown (see ``Curvature``) where the end is not near; and its state."""
    form = method.form
    if form.grow is None:
        return prepared, state

    def grow(operand):
        problem, state = operand
        prepared = form.grow(problem, method.loss, state.outputs)
        # What was learned of its size is of another preconditioner.
        steps = state.steps._replace(size=jnp.ones_like(state.steps.size))
        state = state._replace(steps=steps)
        built, ahead = _built(method, prepared, problem, state)
        return prepared, state._replace(built=built, ahead=ahead)

    return when(is_unfinished(method, state), grow, (problem, state), (prepared, state))


def direction_of(method: Method, problem: Problem, gradient, ahead):
    """The direction of the step, with entries of at most 1e8, and whether it is ``blind``.

    It is −H⁻¹ g. Where there is no curvature at all, as of Huber's loss with large residuals alone,
    or where H⁻¹ g is no number, it is −g: steepest descent, which promises nothing.
    """
    largest = jnp.max(jnp.abs(ahead))
    blind = (largest == 0) & jnp.any(gradient)
    direction = jnp.where(blind | ~jnp.isfinite(largest), -gradient, -ahead)
    direction /= jnp.maximum(jnp.max(jnp.abs(direction)) / 1e8, 1)
    if method.classes:
        direction = without_shared(problem, direction)
    return direction, blind


def ray_of(problem: Problem, state: State, direction, change, blind) -> Ray:
    """Where the search looks: inner products of the direction say what the penalty adds."""
    penalised = problem.penalty * direction
    along = jnp.stack([state.gradient, problem.penalty * state.theta, penalised / 2])
    slope, first, second = matmul(along.reshape(3, -1), direction.reshape(-1))
    size = jnp.where(blind, 0, state.size)
    return Ray(state.outputs, change, state.value, first, second, slope, size)


def _newton_step(method: Method, problem: Problem, inverse_hessian: Callable, operand):
    """H⁻¹ g by conjugate gradients, more exactly towards the end (Eisenstat and Walker, 1996).

    But no more exactly than it takes to end the iteration. ``inverse_hessian`` preconditions, and
    ``ahead`` is what it makes of the gradient.
    """
    state, ahead = operand
    hessian = hessian_product(method.loss, problem, state.outputs)
    within, most = exactness(method, state, ahead), method.form.products
    return conjugate_gradients.solve(hessian, inverse_hessian, state.gradient, ahead, within, most)


def exactness(method: Method, state: State, ahead):
    """How much of the residual may be left, where ``ahead`` is about H⁻¹ g."""
    part = jnp.sum(ahead * state.gradient) / state.scale
    within = jnp.minimum(jnp.maximum(jnp.sqrt(part), 0.01 * method.tol / part), 0.25)
    return jnp.minimum(within, 1e-4) if state.theta.size <= SMALL else within
