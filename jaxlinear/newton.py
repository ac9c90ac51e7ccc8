"""The optimum of a smooth convex objective, with a certificate, as one compiled program.

Σ_i w_i loss(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² is met by Newton's method, with a factor of its
Hessian where that is small, or by conjugate gradients; where products with x take long, by L-BFGS
preconditioned with what can be had of the Hessian (see ``curvature``; Nocedal and Wright,
*Numerical Optimization*, 2006, 7.1 and 7.2). All derivatives of the loss are autodiff's.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import factor, line_search
from jaxlinear.columns import Units, outputs_of, unscaled
from jaxlinear.curvature import Curvature, Problem
from jaxlinear.factor import matmul
from jaxlinear.line_search import Ray, Values, values_at
from jaxlinear.types import Linear

_BLOCK = 32  # models that take steps together, at least


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


class Steps(NamedTuple):
    """The last m steps s, what they changed in the gradient, y, and 1 / (s · y); a ring."""

    s: Float[Array, "m k p"]
    y: Float[Array, "m k p"]
    inverse: Float[Array, " m"]


class State(NamedTuple):
    """Where the iteration is, and what it knows.

    ``size`` is what the rounding of the value is relative to, ``scale`` what ``tol`` is: the mean
    loss less ``least``, the least it can be (of counts near 1e8 nearly all of a loss is what no
    model changes), and no less than ``floor``. Of the last step, ``gap`` is the decrease that the
    quadratic model promised to it, ``left`` what it leaves to the next by the same form of H,
    ``moved`` the largest change of an output in it, and ``ratio`` the slope along it that it left,
    as a part of the slope before. ``clear`` are the last steps that promised more than two levels
    of rounding, and ``reach`` the largest change of an output in them.
    """

    theta: Float[Array, "k p"]
    outputs: Float[Array, "n k"]
    value: Float[Array, ""]
    gradient: Float[Array, "k p"]
    size: Float[Array, ""]
    scale: Float[Array, ""]
    least: Float[Array, ""]
    floor: Float[Array, ""]
    steps: Steps
    built: Any
    number: Int[Array, ""]
    step: Float[Array, "k p"]
    clear: Float[Array, "2 k p"]
    reach: Float[Array, "2"]
    gap: Float[Array, ""]
    left: Float[Array, ""]
    moved: Float[Array, ""]
    ratio: Float[Array, ""]
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

        def advance(carry):
            clock, state = carry
            return clock + 1, _advance(told, prepared, problem, state, clock)

        start = jnp.int32(0), _start(told, prepared, problem, theta)
        _, state = jax.lax.while_loop(lambda carry: _unfinished(told, carry[1]), advance, start)
        return state, prepared

    solve.def_vmap(functools.partial(_minimise_many, setting))
    return solve(problem, setting.tol, theta, prepared)


def _minimise_many(setting: Setting, models: int, batched, problem: Problem, tol, theta, prepared):
    """``minimise`` for the leaves with a leading axis, those that are ``batched``.

    A block of models takes steps until half of them are done; then others take their places.
    """
    of_problem, of_tol, of_theta, of_prepared = batched
    if not of_theta:
        theta = jnp.broadcast_to(theta, (models, *theta.shape))
    if prepared is None:
        shares_x = not (of_problem.x or of_problem.share)
        prepared = _prepared_for_many(setting.form, problem, of_problem, shares_x)
        of_prepared = jax.tree.map(lambda _: not shares_x, prepared)
    given = problem, tol, prepared
    of_given = of_problem, of_tol, of_prepared
    axes = jax.tree.map(_axis, of_given)
    size = max(models // 8, min(models, _BLOCK))

    def start(given, theta):
        problem, tol, prepared = given
        return _start(setting._replace(tol=tol), prepared, problem, theta)

    def unfinished(state: State, tol):
        return _unfinished(setting._replace(tol=tol), state)

    def step(given, state: State, clock):
        problem, tol, prepared = given
        told = setting._replace(tol=tol)
        return _advance(told, prepared, problem, state, clock, _unfinished(told, state))

    def run(state: State) -> State:
        """Steps of a block: models that are not done, and then others, which stay."""
        rows = jax.lax.top_k(unfinished(state, tol).astype(jnp.int32), size)[1]
        some = jax.tree.map(lambda leaf, own: leaf[rows] if own else leaf, given, of_given)
        part = jax.tree.map(lambda leaf: leaf[rows], state)

        def advance(carry):
            clock, part = carry
            return clock + 1, jax.vmap(step, (axes, 0, None))(some, part, clock)

        def busy(carry):
            return jnp.sum(unfinished(carry[1], some[1])) > enough

        enough = jnp.sum(unfinished(part, some[1])) // 2 if size < models else 0
        clock, part = jax.lax.while_loop(busy, advance, (jnp.int32(0), part))
        steps = jax.tree.map(lambda ring: jnp.roll(ring, -clock, axis=1), part.steps)
        part = part._replace(steps=steps)  # the newest last, where a clock at 0 expects it
        return jax.tree.map(lambda all, new: all.at[rows].set(new), state, part)

    state = jax.vmap(start, (axes, 0))(given, theta)
    state = jax.lax.while_loop(lambda state: jnp.any(unfinished(state, tol)), run, state)
    return (state, prepared), (jax.tree.map(lambda _: True, state), of_prepared)


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
    outputs = outputs_of(problem, theta)
    total = values_at(setting.loss, problem, outputs)
    value, gradient = objective(problem, theta, total)
    zero = jnp.zeros((), theta.dtype)
    least = zero - jnp.inf
    if setting.least is not None:
        least = jnp.sum(problem.share * jax.vmap(setting.least)(problem.y)).astype(theta.dtype)
    scale = _scale(total, least, zero)
    floor = jnp.sqrt(jnp.finfo(theta.dtype).eps) * scale  # an objective may go to 0
    empty = jnp.zeros((setting.form.memory, *theta.shape), theta.dtype)
    shape = jax.eval_shape(functools.partial(_build, setting, prepared), problem, outputs)
    return State(
        theta=theta,
        outputs=outputs,
        value=value,
        gradient=gradient,
        size=total.size,
        scale=scale,
        least=least,
        floor=floor,
        steps=Steps(empty, empty, empty[:, 0, 0]),
        built=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape),
        number=jnp.int32(0),
        step=jnp.zeros_like(theta),
        clear=jnp.stack([0 * theta, 0 * theta]),
        reach=jnp.stack([zero, zero]),
        gap=zero + jnp.inf,
        left=zero + jnp.inf,
        moved=zero,
        ratio=zero,
        stuck=jnp.array(False),
    )


def _scale(total: Values, least, floor):
    noise = 4 * jnp.finfo(floor.dtype).eps * total.size
    return jnp.maximum(jnp.minimum(total.value - least, total.size), jnp.maximum(noise, floor))


def _unfinished(setting: Setting, state: State):
    return (state.number < setting.most) & ~arrived(state, setting.tol) & ~state.stuck


def arrived(state: State, tol):
    """Whether the last step promised little, and left little: the curvature did not change."""
    return jnp.maximum(state.gap, state.left / 10) <= tol * state.scale


def _build(setting: Setting, prepared, problem: Problem, outputs):
    return setting.form.build(prepared, problem, setting.loss, outputs)


def _advance(setting: Setting, prepared, problem: Problem, state: State, clock, active=True):
    """One step, of a model that is ``active``; others stay."""
    form = setting.form
    build = functools.partial(_build, setting, prepared, problem)
    promise = jnp.sum(form.apply(prepared, state.built, state.gradient) * state.gradient) / 2
    # The last step is one of the Hessian there: it leaves the square of its own error.
    last = promise <= setting.tol * state.scale
    due = form.due(clock, promise / state.gap, last)
    built = factor.when(due, build, state.outputs, state.built)
    if form.products:
        direction = -_newton_step(setting, prepared, problem, state, built)
    else:
        direction = -_inverse(form, prepared, built, state, clock)
    # No curvature at all, as of Huber's loss where every residual is large: no promise, either.
    blind = ~jnp.any(direction) & jnp.any(state.gradient)
    direction = jnp.where(blind, -state.gradient, direction)
    if setting.classes:
        direction = without_shared(problem, direction)
    direction = _not_too_long(direction, state.gradient)
    slope = jnp.sum(direction * state.gradient)
    change = outputs_of(problem, direction)
    ray = Ray(
        state.outputs, change, _of_penalty(problem, state.theta, direction),
        state.value, slope, jnp.where(blind, 0, state.size),
    )  # fmt: skip
    found = line_search.search(setting.loss, problem, ray)
    step, total = found.t * direction, found.values
    theta = state.theta + step
    value, gradient = objective(problem, theta, total)
    better = active & found.good
    promise, ratio = jnp.where(blind, jnp.inf, -slope / 2), found.slope / slope
    # Near the end the value is all rounding, and the promise tells whether anything is gained.
    no_gain = (value >= state.value) & (promise > state.gap / 4)
    # Where the curvature is less than its damping, steps are short and go on for ever.
    noise = 32 * jnp.finfo(slope.dtype).eps * state.size
    no_gain |= (value >= state.value - noise) & (promise > 0.8 * state.gap) & (ratio > 0.8)
    # Also of a step that was not taken, since there was nothing to gain.
    t = jnp.where(found.good, found.t, 1)
    moved = jnp.max(jnp.abs(t * change), where=(problem.share > 0)[:, None], initial=0)
    eps = jnp.finfo(slope.dtype).eps
    level = jnp.sqrt(eps) * state.size
    clear = better & (
        promise > jnp.stack([jnp.maximum(level, state.floor), jnp.sqrt(eps) * state.scale])
    )

    def choose(new, old):
        return jnp.where(better, new, old)

    return State(
        theta=choose(theta, state.theta),
        outputs=choose(state.outputs + found.t * change, state.outputs),
        value=choose(value, state.value),
        gradient=choose(gradient, state.gradient),
        size=choose(total.size, state.size),
        scale=choose(_scale(total, state.least, state.floor), state.scale),
        least=state.least,
        floor=state.floor,
        steps=_with(state.steps, step, gradient - state.gradient, better, clock),
        built=built,
        number=state.number + active,
        step=choose(step, state.step),
        clear=jnp.where(clear[:, None, None], step[None], state.clear),
        reach=jnp.where(clear, moved, state.reach),
        gap=jnp.where(active, promise, state.gap),
        left=choose(jnp.sum(form.apply(prepared, built, gradient) * gradient) / 2, state.left),
        moved=jnp.where(active, moved, state.moved),
        ratio=choose(ratio, state.ratio),
        stuck=state.stuck | (active & (~found.good | no_gain)),
    )


def _not_too_long(direction, gradient):
    """The direction, of no more than 1e8; where it is no number, that of steepest descent.

    Where the curvature of all losses has died away, H⁻¹ is no measure for a step. The search goes
    beyond t = 1 where it has to.
    """
    direction = jnp.where(jnp.isfinite(direction).all(), direction, -gradient)
    return direction / jnp.maximum(jnp.max(jnp.abs(direction)) / 1e8, 1)


def _of_penalty(problem: Problem, theta, direction) -> Float[Array, "3"]:
    """½ Σ λ (θ + t d)² as coefficients of 1, t and t²."""
    pairs = (theta, theta), (2 * theta, direction), (direction, direction)
    return jnp.stack([jnp.sum(problem.penalty * a * b) / 2 for a, b in pairs])


def objective(problem: Problem, theta, total: Values):
    """The objective at θ and its gradient, from the values of the loss there."""
    value = total.value + jnp.sum(problem.penalty * jnp.square(theta)) / 2
    return value, matmul(total.slopes.T, problem.x) + problem.penalty * theta


def _hessian(loss: Callable, problem: Problem, outputs) -> Callable:
    """The product with H at these outputs."""
    slopes = jax.linearize(lambda o: values_at(loss, problem, o).slopes, outputs)[1]

    def product(v):
        return matmul(slopes(matmul(problem.x, v.T)).T, problem.x) + problem.penalty * v

    return product


def _newton_step(setting: Setting, prepared, problem: Problem, state: State, built):
    """H⁻¹ times the gradient, the better the nearer the end (Eisenstat and Walker, 1996).

    But not better than leaves what ends the iteration.
    """
    precondition = functools.partial(setting.form.apply, prepared, built)
    hessian = _hessian(setting.loss, problem, state.outputs)
    promise = jnp.sum(precondition(state.gradient) * state.gradient)
    part = promise / state.scale
    within = jnp.clip(jnp.sqrt(part), 0.01 * setting.tol / part, 0.1)
    return _conjugate_gradients(
        hessian, precondition, state.gradient, within, setting.form.products
    )


def _inverse(form: Curvature, prepared, built, state: State, clock):
    """H⁻¹ times the gradient, as the form and the last steps know it."""
    steps = state.steps
    if not form.memory:
        return form.apply(prepared, built, state.gradient)
    places = (clock - 1 - jnp.arange(form.memory)) % form.memory  # newest first

    def back(g, place):
        share = steps.inverse[place] * jnp.sum(steps.s[place] * g)
        return g - share * steps.y[place], share

    def forth(z, step):
        place, share = step
        change = share - steps.inverse[place] * jnp.sum(steps.y[place] * z)
        return z + change * steps.s[place], None

    g, shares = jax.lax.scan(back, state.gradient, places)
    z = form.apply(prepared, built, g)
    return jax.lax.scan(forth, z, (places, shares), reverse=True)[0]


def _with(steps: Steps, s, y, better, clock) -> Steps:
    """The newest step in the place of the oldest; one without curvature says nothing."""
    memory = len(steps.inverse)
    if not memory:
        return steps
    product = jnp.sum(s * y)
    said = product > jnp.finfo(s.dtype).eps * jnp.linalg.norm(s) * jnp.linalg.norm(y)
    inverse = jnp.where(said & better, 1 / jnp.where(said, product, 1), 0)
    new = Steps(jnp.where(better, s, 0), jnp.where(better, y, 0), inverse)
    return jax.tree.map(lambda ring, leaf: ring.at[clock % memory].set(leaf), steps, new)


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
    precondition = functools.partial(form.apply, prepared, built)
    # Where H has no curvature, as along what all classes share, the damping of the factor, √eps,
    # divides the square of a rounding: below that, steps follow noise.
    tiny = 64 * jnp.finfo(side.dtype).eps ** 1.5
    hessian = _hessian(loss, problem, outputs)
    params = to_params(_conjugate_gradients(hessian, precondition, side, tiny, 500))
    return params if intercept else params._replace(b=g.b)


def _conjugate_gradients(hessian: Callable, precondition: Callable, side, within, most: int):
    """About H⁻¹ side: r · P⁻¹ r is ``within`` of what it was, or ``most`` products were made.

    Along what has no curvature there is nothing to gain: it ends there.
    """

    def advance(carry):
        z, r, p, now, number = carry
        product = hessian(p)
        curvature = jnp.sum(p * product)
        length = jnp.where(curvature > 0, now / curvature, 0)
        z, r = z + length * p, r - length * product
        s = precondition(r)
        new = jnp.sum(r * s)
        return z, r, s + new / now * p, new, jnp.where(curvature > 0, number + 1, most)

    def unfinished(carry):
        *_, now, number = carry
        return (now > within * begin) & (number < most)

    s = precondition(side)
    begin = jnp.sum(side * s)
    start = (jnp.zeros_like(side), side, s, begin, jnp.int32(0))
    return jax.lax.while_loop(unfinished, advance, start)[0]
