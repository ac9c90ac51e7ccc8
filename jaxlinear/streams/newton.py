"""Newton's method where every look at the rows is a pass over a stream.

A pass tells the value, the gradient and the curvature at a trial point all at once, so that a step
whose first trial is good, as nearly all are, is one pass. All that is decided between two passes,
the direction, its length, whether that was progress and whether it is the end, is decided by the
rules of the solver in memory.

Where there are too many coefficients for a Hessian, conjugate gradients take a pass for each of
their products; xᵀx times the mean curvature preconditions them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxlinear.convex import conjugate_gradients, iteration, line_search
from jaxlinear.convex.line_search import Found, Ray, Trial
from jaxlinear.convex.preconditioners.cholesky import cholesky
from jaxlinear.convex.preconditioners.mean_curvature import mean_curvature
from jaxlinear.convex.problem import Problem, Values, without_shared
from jaxlinear.convex.state import Method, State, at_start, is_unfinished
from jaxlinear.linalg.damped import damped, root_inverse, root_solve
from jaxlinear.linalg.products import matmul
from jaxlinear.model.declaration import has_classes
from jaxlinear.rows.stream import Passes
from jaxlinear.streams import problem
from jaxlinear.streams.problem import Point, Standard, Sums, Task


class Search(NamedTuple):
    """The direction, the next trial along it, and what is known at the last one.

    ``over``: the search has ended, with a length that is ``good`` or with none.
    """

    direction: Float[Array, "k p"]
    blind: Bool[Array, ""]
    ray: Ray
    trial: Trial
    point: Point
    rise: Float[Array, ""]
    here: Float[Array, ""]
    good: Bool[Array, ""]
    over: Bool[Array, ""]


def minimise(task: Task, standard: Standard, passes: Passes, theta, least, tol) -> State:
    """From θ (m, k, p) to the optimum of every model, as ``convex.newton`` does in memory.

    ``least`` (m,) is the least that the mean loss can be, or None where that is not known.
    """
    gram = problem.gram(task, standard, passes) if task.form == "gram" else None
    point = problem.at_point(task, standard, passes, theta, jnp.zeros_like(theta))
    state = _start(task, standard, gram, theta, point, least)
    while np.asarray(_unfinished(task, state, tol)).any():
        if task.form != "hessian":
            state = state._replace(ahead=_by_products(task, standard, passes, state, tol))
        search = _face(task, standard, state, point, tol)
        while not np.asarray(search.over).all():
            at = _trial(state, search)
            point = problem.at_point(task, standard, passes, at, search.direction)
            search = _judge(search, state, point)
        state = _conclude(task, standard, gram, state, search, tol)
    return state


def method_of(task: Task, tol) -> Method:
    """How the solver in memory would go about it, with the same form of the curvature."""
    form = cholesky if task.form == "hessian" else mean_curvature
    return Method(task.loss, form, tol, task.most, classes=has_classes(task.loss))


def of_penalty(penalty) -> Problem:
    """A problem of which only the penalty is known."""
    return Problem(None, None, None, penalty)


@functools.partial(jax.jit, static_argnums=0)
def _start(task: Task, standard: Standard, gram, theta, point: Point, least) -> State:
    """The state before the first step, of every model."""

    def one(theta, penalty, sums: Sums, least):
        gradient = sums.gradient + penalty * theta
        factor = _factor(task, gram, penalty, sums)
        ahead = _inverse_hessian(task, penalty, factor, gradient)
        total = Values(sums.value, None, sums.size)
        return at_start(theta, total, gradient, least, ahead)._replace(built=factor)

    return jax.vmap(one)(theta, standard.penalty, point.sums, least)


def _factor(task: Task, gram, penalty, sums: Sums):
    """A factor of the Hessian; or the inverse of xᵀx, or of 1, times the mean curvature."""
    if task.form == "hessian":
        return damped(sums.curvature + jnp.diag(penalty.reshape(-1)))
    size = jnp.mean(sums.curvature)
    if task.form == "gram":
        return root_inverse(damped(size * gram + jnp.diag(jnp.mean(penalty, axis=0))))
    return 1 / jnp.maximum(size + penalty, jnp.finfo(penalty.dtype).tiny)


def _inverse_hessian(task: Task, penalty, factor, g):
    """H⁻¹ g, or about that; of classes less what all share, along which H has no curvature."""
    if task.form == "hessian":
        found = root_solve(factor, g)
    else:
        found = matmul(g, factor) if task.form == "gram" else g * factor
    return without_shared(of_penalty(penalty), found) if has_classes(task.loss) else found


@functools.partial(jax.jit, static_argnums=0)
def _face(task: Task, standard: Standard, state: State, point: Point, tol) -> Search:
    """The direction of the next step of every model that is not done."""
    method = method_of(task, tol)

    def one(state: State, penalty, point: Point):
        known = of_penalty(penalty)
        direction, blind = iteration.direction_of(method, known, state.gradient, state.ahead)
        ray = iteration.ray_of(known, state, direction, None, blind)
        zero = jnp.zeros_like(ray.slope)
        over = ~is_unfinished(method, state) | ~(ray.slope < 0)
        return Search(
            direction, blind, ray, line_search.first_trial(ray), point,
            zero, ray.slope, jnp.array(False), over,
        )  # fmt: skip

    return jax.vmap(one)(state, standard.penalty, point)


@functools.partial(jax.jit, static_argnums=0)
def _unfinished(task: Task, state: State, tol) -> Bool[Array, " m"]:
    return is_unfinished(method_of(task, tol), state)


@jax.jit
def _trial(state: State, search: Search) -> Float[Array, "m k p"]:
    return state.theta + search.trial.t[:, None, None] * search.direction


@jax.jit
def _judge(search: Search, state: State, point: Point) -> Search:
    """The search after a trial; one that was over stays as it is."""

    def one(search: Search, state: State, point: Point):
        ray, trial = search.ray, search.trial
        rise = point.sums.value - state.value
        rise, here = line_search.along(ray, trial.t, rise, point.sums.slope)
        trial, good = line_search.judged(ray, trial, rise, here)
        over = good | ~line_search.has_trials(trial)
        new = search._replace(trial=trial, point=point, rise=rise, here=here, good=good, over=over)
        return jax.tree.map(lambda old, new: jnp.where(search.over, old, new), search, new)

    return jax.vmap(one)(search, state, point)


@functools.partial(jax.jit, static_argnums=0)
def _conclude(task: Task, standard: Standard, gram, state: State, search: Search, tol) -> State:
    """The state of every model after its step."""
    method = method_of(task, tol)

    def one(state: State, penalty, search: Search):
        sums, t = search.point.sums, search.trial.t
        active = is_unfinished(method, state)
        step = t * search.direction
        gradient = sums.gradient + penalty * (state.theta + step)
        factor = _factor(task, gram, penalty, sums)
        values = Values(sums.value, None, sums.size)
        tried = iteration.Tried(
            step,
            Found(t, values, search.rise, search.here, search.good),
            search.ray.slope,
            search.blind,
            gradient,
            _inverse_hessian(task, penalty, factor, gradient),
            search.point.farthest,
            jnp.array(True),
        )
        better = active & search.good
        built = jax.tree.map(lambda new, old: jnp.where(better, new, old), factor, state.built)
        return iteration.concluded(
            method, of_penalty(penalty), state, tried, active,
            lambda moved: iteration.is_small(moved, sums.outputs),
        )._replace(built=built)  # fmt: skip

    return jax.vmap(one)(state, standard.penalty, search)


def _by_products(task: Task, standard: Standard, passes: Passes, state: State, tol):
    """H⁻¹ g by conjugate gradients, as exactly as the step deserves."""
    progress, least = _begun(task, state, tol)
    while np.asarray(_needs_product(progress, least)).any():
        product = problem.hessian_product(task, standard, passes, state.theta, progress.p)
        progress = _advanced(task, standard, state, progress, product, least)
    return progress.z


@jax.jit
def _needs_product(progress, least) -> Bool[Array, "*m"]:
    return conjugate_gradients.is_unfinished(progress, least, mean_curvature.products)


@functools.partial(jax.jit, static_argnums=0)
def _begun(task: Task, state: State, tol):
    """No products yet, and the residual at which there are enough: any, of a model that is done."""
    method = method_of(task, tol)

    def one(state: State):
        progress = conjugate_gradients.begun(state.gradient, state.ahead)
        least = iteration.exactness(method, state, state.ahead) * progress.now
        return progress, jnp.where(is_unfinished(method, state), least, jnp.inf)

    return jax.vmap(one)(state)


@functools.partial(jax.jit, static_argnums=0)
def _advanced(task: Task, standard: Standard, state: State, progress, product, least):
    most = mean_curvature.products

    def one(state: State, penalty, progress, product, least):
        precondition = functools.partial(_inverse_hessian, task, penalty, state.built)
        new = conjugate_gradients.advance(progress, product, precondition, most)
        needed = _needs_product(progress, least)
        return jax.tree.map(lambda new, old: jnp.where(needed, new, old), new, progress)

    return jax.vmap(one)(state, standard.penalty, progress, product, least)
