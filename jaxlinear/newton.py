"""The optimum of a smooth convex objective, with a certificate, as one compiled program.

Σ_i w_i loss(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² is met by Newton's method with a factor of its
Hessian where that is small; else by L-BFGS, preconditioned with what can be had of the Hessian (see
``curvature``), at two passes over x for a step. That is quick but knows only what it has seen:
where no bound shows the end, the last step is one of Newton's, by conjugate gradients, which tells
what is left to gain. Fits that begin near their end take such steps alone. All derivatives of the
loss are autodiff's.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import conjugate_gradients, factor, lbfgs, line_search
from jaxlinear.columns import Units, outputs_of, unscaled
from jaxlinear.curvature import Curvature, Problem
from jaxlinear.factor import matmul
from jaxlinear.lbfgs import Steps
from jaxlinear.line_search import Ray, Values, values_at
from jaxlinear.objective import where_present
from jaxlinear.types import Linear

_BLOCK = 32  # models that take steps together, at least
_CALM = 4  # long steps in a row that promise little, after which there is nothing to gain


class Setting(NamedTuple):
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


def minimise(setting: Setting, problem: Problem, theta, prepared=None) -> tuple[State, Any]:
    """From θ until a step promises less than ``tol`` of the objective, or makes nothing less.

    Also returns what the form of the curvature was ``prepared`` with, unless it is given. Under
    ``vmap`` a model that is done makes room for another, so that the slowest do not hold up the
    rest; what is made of x alone is made once where all share x.
    """

    @jax.custom_batching.custom_vmap
    def solve(problem, tol, theta, prepared):
        told = setting._replace(tol=tol)
        if prepared is None:
            prepared = told.form.prepare(problem)
        return _run(told, prepared, problem, theta)

    solve.def_vmap(functools.partial(_minimise_many, setting))
    return solve(problem, setting.tol, theta, prepared)


def _run(setting: Setting, prepared, problem: Problem, theta) -> tuple[State, Any]:
    """Steps until the end; a form that grows does so in between, where the end is not near."""

    def stage(carry):
        clock, state, prepared, most = carry

        def unfinished(carry):
            clock, state = carry
            return _unfinished(setting, state) & (clock < most)

        def advance(carry):
            clock, state = carry
            return clock + 1, _advance(setting, prepared, problem, state, clock, True)

        clock, state = jax.lax.while_loop(unfinished, advance, (clock, state))
        prepared, state = _grown(setting, prepared, problem, state)
        return clock, state, prepared, jnp.int32(setting.most)

    state = _start(setting, prepared, problem, theta)
    most = setting.form.steps or setting.most
    start = jnp.int32(0), state, prepared, jnp.int32(most)
    _, state, prepared, _ = jax.lax.while_loop(
        lambda carry: _unfinished(setting, carry[1]), stage, start
    )
    return state, prepared


def _grown(setting: Setting, prepared, problem: Problem, state: State):
    """What was prepared, grown where the end is not near; and the state that fits to it."""
    form = setting.form
    if form.grow is None:
        return prepared, state

    def grow(operand):
        problem, state = operand
        prepared = form.grow(problem, setting.loss, state.outputs)
        # What was learned of its size is of another preconditioner.
        steps = state.steps._replace(size=jnp.ones_like(state.steps.size))
        state = state._replace(steps=steps)
        built, ahead = _built(setting, prepared, problem, state)
        return prepared, state._replace(built=built, ahead=ahead)

    return factor.when(_unfinished(setting, state), grow, (problem, state), (prepared, state))


def _minimise_many(setting: Setting, models: int, batched, problem: Problem, tol, theta, prepared):
    """``minimise`` for the leaves with a leading axis, those that are ``batched``.

    A block of models takes steps until some of them are done; then others take their places. The
    steps that end the iteration take products with H, which all models wait for: they are taken
    when no model needs another step.
    """
    of_problem, of_tol, of_theta, of_prepared = batched
    if not of_theta:
        theta = jnp.broadcast_to(theta, (models, *theta.shape))
    if prepared is None:
        shares_x = not (of_problem.x or of_problem.share)
        prepared = _prepared_for_many(setting.form, problem, of_problem, shares_x)
        of_prepared = jax.tree.map(lambda _: not shares_x, prepared)
    of_given = of_problem, of_tol, of_prepared
    axes = jax.tree.map(_axis, of_given)

    def start(given, theta):
        problem, tol, prepared = given
        return _start(setting._replace(tol=tol), prepared, problem, theta)

    state = jax.vmap(start, (axes, 0))((problem, tol, prepared), theta)
    if setting.form.grow is None:
        state = _take_turns(setting, of_given, (problem, tol, prepared), state)
        return (state, prepared), (jax.tree.map(lambda _: True, state), of_prepared)

    def stage(carry):
        state, prepared, most = carry
        given = problem, tol, prepared
        state = _take_turns(setting._replace(most=most), of_given, given, state)
        return *jax.vmap(grow, (axes, 0))(given, state), jnp.int32(setting.most)

    def grow(given, state):
        problem, tol, prepared = given
        prepared, state = _grown(setting._replace(tol=tol), prepared, problem, state)
        return state, prepared

    def unfinished(carry):
        return jnp.any(_unfinished(setting._replace(tol=tol), carry[0]))

    prepared = jax.tree.map(
        lambda leaf, own: leaf if own else jnp.stack([leaf] * models), prepared, of_prepared
    )
    of_prepared = jax.tree.map(lambda _: True, prepared)
    of_given = of_problem, of_tol, of_prepared
    axes = jax.tree.map(_axis, of_given)
    begin = state, prepared, jnp.int32(min(setting.form.steps, setting.most))
    state, prepared, _ = jax.lax.while_loop(unfinished, stage, begin)
    return (state, prepared), (jax.tree.map(lambda _: True, state), of_prepared)


def _take_turns(setting: Setting, of_given, given, state: State) -> State:
    """Steps of models side by side, until all are done.

    What is ``of_given``, problems, tolerances and what was prepared, every model has of its own.
    """
    tol = given[1]
    form = setting.form
    axes = jax.tree.map(_axis, of_given)
    models = len(state.number)
    # All models take about as many steps of Newton's; of L-BFGS one takes 10, another 50.
    parts, share = (32, 0.75) if form.memory else (8, 0.5)
    size = max(models // parts, min(models, _BLOCK))

    def step(given, state: State, clock, ending):
        problem, tol, prepared = given
        return _advance(setting._replace(tol=tol), prepared, problem, state, clock, ending)

    def needs_step(state: State, tol, ending):
        waits = _is_last(form, state, tol) & jnp.logical_not(ending) & (form.memory > 0)
        return _unfinished(setting._replace(tol=tol), state) & ~waits

    def run(state: State) -> State:
        """Steps of a block: models that need some, and then others, which stay."""
        ending = ~jnp.any(needs_step(state, tol, False))
        rows = jax.lax.top_k(needs_step(state, tol, ending).astype(jnp.int32), size)[1]
        some = jax.tree.map(lambda leaf, own: leaf[rows] if own else leaf, given, of_given)
        part = jax.tree.map(lambda leaf: leaf[rows], state)

        def advance(carry):
            clock, part = carry
            return clock + 1, jax.vmap(step, (axes, 0, None, None))(some, part, clock, ending)

        def busy(carry):
            return jnp.sum(needs_step(carry[1], some[1], ending)) > enough

        enough = jnp.sum(needs_step(part, some[1], ending)) * share if size < models else 0
        clock, part = jax.lax.while_loop(busy, advance, (jnp.int32(0), part))
        part = part._replace(steps=lbfgs.newest_last(part.steps, clock))
        return jax.tree.map(lambda all, new: all.at[rows].set(new), state, part)

    return jax.lax.while_loop(lambda state: jnp.any(needs_step(state, tol, True)), run, state)


def _prepared_for_many(form: Curvature, problem: Problem, batched, shares_x: bool):
    if not shares_x:
        return jax.vmap(form.prepare, (jax.tree.map(_axis, batched),))(problem)
    # Of the penalties one will do: a form needs to know their size.
    penalty = problem.penalty[0] if batched.penalty else problem.penalty
    return form.prepare(problem._replace(penalty=penalty))


def _axis(of_model: bool) -> int | None:
    return 0 if of_model else None


def better_of(loss: Callable, problem: Problem, theta, other):
    """Of two starts the one whose loss is less; ``other`` where it is no number at θ."""

    def value(theta):
        each = jax.vmap(loss)(outputs_of(problem, theta), problem.y)
        return jnp.sum(problem.share * each)

    return jnp.where(value(theta) <= value(other), theta, other)


def without_shared(problem: Problem, theta):
    """θ less what all classes share, of which the penalty leaves nothing at the optimum.

    H has no curvature along it, so that Newton's steps would follow rounding.
    """
    penalty = jnp.sum(problem.penalty, axis=0, keepdims=True)
    part = jnp.where(
        penalty > 0, problem.penalty / jnp.where(penalty > 0, penalty, 1), 1 / len(theta)
    )
    return theta - jnp.sum(part * theta, axis=0, keepdims=True)


def _start(setting: Setting, prepared, problem: Problem, theta) -> State:
    form = setting.form
    outputs = outputs_of(problem, theta)
    total = values_at(setting.loss, problem, outputs)
    gradient = gradient_at(problem, theta, total)
    zero = jnp.zeros((), theta.dtype)
    least = zero - jnp.inf
    if setting.least is not None:
        least = jnp.sum(problem.share * jax.vmap(setting.least)(problem.y)).astype(theta.dtype)
    scale = _scale(total, least, zero)
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


def _scale(total: Values, least, floor):
    noise = 4 * jnp.finfo(floor.dtype).eps * total.size
    return jnp.maximum(jnp.minimum(total.value - least, total.size), jnp.maximum(noise, floor))


def _unfinished(setting: Setting, state: State):
    return (state.number < setting.most) & ~arrived(state, setting.tol) & ~state.stuck


def arrived(state: State, tol):
    """Whether nothing is left to gain.

    A bound says so; or a step of Newton's promised little, and left little: the curvature did not
    change. A long step may be one of many to an optimum far away, and takes some more to tell.
    """
    enough = jnp.where(state.short, 1, _CALM)
    return (state.calm >= enough) | (state.bound <= tol * state.scale / 10)


def _is_last(form: Curvature, state: State, tol):
    """Whether the next step promises little enough to end with it: then it is Newton's.

    What L-BFGS promises may be too little, for what it has not seen.
    """
    return state.left <= tol * state.scale / (50 if form.memory else 1)


def _bound(problem: Problem, gradient, ahead):
    """‖g‖² / (2 λ): how far a convex objective is above its optimum, at most; inf without λ.

    The intercepts, which have no penalty, count as what a step promises to them.
    """
    free = problem.penalty == 0
    squares = jnp.square(gradient) / jnp.where(free, 1, problem.penalty)
    bound = jnp.sum(jnp.where(free, gradient * ahead, squares)) / 2
    return jnp.where(jnp.sum(free) <= len(free), bound, jnp.inf)


def _advance(setting: Setting, prepared, problem: Problem, state: State, clock, ending) -> State:
    """One step, of a model that is not done; and of one that waits for its last when ``ending``."""
    form = setting.form
    last = _is_last(form, state, setting.tol)
    active = _unfinished(setting, state)
    if form.memory:
        active &= ending | ~last
    newton = last | (form.memory == 0)

    built, ahead = _rebuilt(setting, prepared, problem, state, clock, last)
    precondition = functools.partial(form.apply, problem, prepared, built)
    if form.products:
        known = functools.partial(lbfgs.inverse_hessian, state.steps, precondition)
        step = functools.partial(_newton_step, setting, problem, known)
        ahead = factor.when(active & newton, step, (state, ahead), ahead)
    direction, blind = _direction(setting, problem, state.gradient, ahead)
    change = outputs_of(problem, direction)
    ray = _ray(problem, state, direction, change, blind)
    found = line_search.search(setting.loss, problem, ray)

    better = active & found.good
    step = found.t * direction
    theta = state.theta + step
    gradient = gradient_at(problem, theta, found.values)
    steps = lbfgs.with_step(
        state.steps, step, gradient - state.gradient, better, clock,
        precondition if form.rescaled else None,
    )  # fmt: skip
    following = lbfgs.inverse_hessian(steps, precondition, gradient)

    eps = jnp.finfo(theta.dtype).eps
    promise, ratio = jnp.where(blind, jnp.inf, -ray.slope / 2), found.slope / ray.slope
    # Near the end the value is all rounding, and the promise tells whether anything is gained:
    # but not of a step that a kink has cut short.
    no_gain = (found.rise >= 0) & (promise > state.gap / 4) & (found.t > 0.01)
    # Where the curvature is less than its damping, steps are short and go on for ever.
    noise = 32 * eps * state.size
    no_gain |= (found.rise >= -noise) & (promise > 0.8 * state.gap) & (ratio > 0.8)
    failed = active & (~found.good | no_gain)
    weary = failed & ~newton  # of L-BFGS: the next step is Newton's
    # Also of a step that was not taken, since there was nothing to gain.
    t = jnp.where(found.good, found.t, 1)
    moved = t * jnp.max(where_present(problem.present, jnp.abs(change)))
    level = jnp.sqrt(eps) * state.size
    clear = better & (
        promise > jnp.stack([jnp.maximum(level, state.floor), jnp.sqrt(eps) * state.scale])
    )

    def choose(new, old):
        return jnp.where(better, new, old)

    scale = choose(_scale(found.values, state.least, state.floor), state.scale)
    left = choose(jnp.sum(following * gradient) / 2, state.left)
    calm = newton & (jnp.maximum(promise, left / 10) <= setting.tol * scale)
    short = moved <= 0.5
    is_rounding = functools.partial(_is_rounding, problem)
    short = factor.when(calm & ~short, is_rounding, (state.outputs, moved), short)

    return State(
        theta=choose(theta, state.theta),
        outputs=choose(state.outputs + found.t * change, state.outputs),
        value=choose(found.values.value, state.value),
        gradient=choose(gradient, state.gradient),
        size=choose(found.values.size, state.size),
        scale=scale,
        least=state.least,
        floor=state.floor,
        ahead=choose(following, state.ahead),
        steps=steps,
        built=built,
        number=state.number + active,
        step=choose(step, state.step),
        clear=jnp.where(clear[:, None, None], step[None], state.clear),
        reach=jnp.where(clear, moved, state.reach),
        gap=jnp.where(active, promise, state.gap),
        left=jnp.where(weary, 0, left),
        bound=choose(_bound(problem, gradient, following), state.bound)
        if form.memory
        else state.bound,
        moved=jnp.where(active, moved, state.moved),
        short=jnp.where(active, short, state.short),
        ratio=jnp.where(active, jnp.where(found.good, ratio, 1), state.ratio),
        calm=jnp.where(active, jnp.where(calm, state.calm + 1, 0), state.calm),
        stuck=state.stuck | (failed & newton),
    )


def _is_rounding(problem: Problem, operand):
    """Outputs in the thousands, as of prices, are not resolved to ½ of a unit."""
    outputs, moved = operand
    rounding = 4 * jnp.sqrt(jnp.finfo(outputs.dtype).eps)
    return moved <= rounding * jnp.sum(matmul(problem.share, jnp.abs(outputs)))


def _rebuilt(setting: Setting, prepared, problem: Problem, state: State, clock, last):
    """What the form is made of where it is due to be made anew, and H⁻¹ g by it."""
    form = setting.form
    if form.due is None:
        return state.built, state.ahead

    rebuild = functools.partial(_built, setting, prepared, problem)
    due = form.due(clock, state.left / state.gap, last)
    return factor.when(due, rebuild, state, (state.built, state.ahead))


def _built(setting: Setting, prepared, problem: Problem, state: State):
    """What the form is made of at the outputs of a state, and H⁻¹ g by it and the last steps."""
    built = setting.form.build(prepared, problem, setting.loss, state.outputs)
    precondition = functools.partial(setting.form.apply, problem, prepared, built)
    return built, lbfgs.inverse_hessian(state.steps, precondition, state.gradient)


def _direction(setting: Setting, problem: Problem, gradient, ahead):
    """The direction of the step, of no more than 1e8, and whether it is a ``blind`` one.

    Where the curvature of all losses has died away, H⁻¹ is no measure for a step. The search goes
    beyond t = 1 where it has to. Where there is no curvature at all, as of Huber's loss where every
    residual is large, or no number, the step is that of steepest descent: without a promise.
    """
    largest = jnp.max(jnp.abs(ahead))
    blind = (largest == 0) & jnp.any(gradient)
    direction = jnp.where(blind | ~jnp.isfinite(largest), -gradient, -ahead)
    direction /= jnp.maximum(jnp.max(jnp.abs(direction)) / 1e8, 1)
    if setting.classes:
        direction = without_shared(problem, direction)
    return direction, blind


def _ray(problem: Problem, state: State, direction, change, blind) -> Ray:
    """Where the search looks: inner products of the direction say what the penalty adds."""
    penalised = problem.penalty * direction
    along = jnp.stack([state.gradient, problem.penalty * state.theta, penalised / 2])
    slope, first, second = matmul(along.reshape(3, -1), direction.reshape(-1))
    size = jnp.where(blind, 0, state.size)
    return Ray(state.outputs, change, state.value, first, second, slope, size)


def gradient_at(problem: Problem, theta, total: Values):
    """The gradient of the objective at θ, from the values of the loss there."""
    return factor.weighted_rows(total.slopes, problem.x) + problem.penalty * theta


def _hessian(loss: Callable, problem: Problem, outputs) -> Callable:
    """The product with H at these outputs."""
    slopes = jax.linearize(lambda o: values_at(loss, problem, o).slopes, outputs)[1]

    def product(v):
        changed = slopes(matmul(problem.x, v.T))
        return factor.weighted_rows(changed, problem.x) + problem.penalty * v

    return product


def _newton_step(setting: Setting, problem: Problem, known: Callable, operand):
    """H⁻¹ times the gradient, the better the nearer the end (Eisenstat and Walker, 1996).

    But not better than leaves what ends the iteration; ``known`` is what is known of H⁻¹, and
    ``ahead`` what that makes of the gradient.
    """
    state, ahead = operand
    hessian = _hessian(setting.loss, problem, state.outputs)
    part = jnp.sum(ahead * state.gradient) / state.scale
    within = jnp.minimum(jnp.maximum(jnp.sqrt(part), 0.01 * setting.tol / part), 0.25)
    most = setting.form.products
    return conjugate_gradients.solve(hessian, known, state.gradient, ahead, within, most)


class Known(NamedTuple):
    """What the derivatives of an optimum need: the problem there, and a form of its Hessian."""

    problem: Problem
    units: Units
    outputs: Float[Array, "n k"]
    prepared: Any
    built: Any


def inverse_hessian(loss: Callable, form: Curvature, intercept: bool, known: Known, g: Linear):
    """H⁻¹ g in the columns as they came, by conjugate gradients with the form as preconditioner."""
    problem, units, outputs, prepared, built = known

    to_params = functools.partial(unscaled, units=units, intercept=intercept)
    (side,) = jax.linear_transpose(to_params, jnp.zeros_like(problem.penalty))(g)
    precondition = functools.partial(form.apply, problem, prepared, built)
    # Where H has no curvature, as along what all classes share, the damping of the factor, √eps,
    # divides the square of a rounding: below that, steps follow noise.
    tiny = 64 * jnp.finfo(side.dtype).eps ** 1.5
    hessian = _hessian(loss, problem, outputs)
    start = precondition(side)
    solved = conjugate_gradients.solve(hessian, precondition, side, start, tiny, 500)
    params = to_params(solved)
    return params if intercept else params._replace(b=g.b)
