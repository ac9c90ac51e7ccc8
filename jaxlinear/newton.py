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

from jaxlinear import factor
from jaxlinear.columns import Units, outputs_of, unscaled
from jaxlinear.curvature import Curvature, Problem
from jaxlinear.factor import matmul
from jaxlinear.types import Linear

_TRIALS = 40
_BLOCK = 32  # models that take steps together, at least


class Setting(NamedTuple):
    """What a solve is told: the loss, the form of its curvature, when to stop.

    ``warm``: it starts from parameters of which nothing is known.
    """

    loss: Callable
    form: Curvature
    tol: Float[Array, ""]
    most: int
    warm: bool = False


class Steps(NamedTuple):
    """The last m steps s, what they changed in the gradient, y, and 1 / (s · y); a ring."""

    s: Float[Array, "m k p"]
    y: Float[Array, "m k p"]
    inverse: Float[Array, " m"]


class Values(NamedTuple):
    """Σ share loss at some outputs, its derivatives in them, and Σ share |loss|."""

    value: Float[Array, ""]
    slopes: Float[Array, "n k"]
    size: Float[Array, ""]


class State(NamedTuple):
    """Where the iteration is, and what it knows.

    ``gap`` is the decrease that the quadratic model promised to the last step, ``moved`` the
    largest change of an output in it, ``size`` what rounding is relative to, ``floor`` its least.
    """

    theta: Float[Array, "k p"]
    outputs: Float[Array, "n k"]
    value: Float[Array, ""]
    gradient: Float[Array, "k p"]
    size: Float[Array, ""]
    floor: Float[Array, ""]
    steps: Steps
    built: Any
    number: Int[Array, ""]
    gap: Float[Array, ""]
    moved: Float[Array, ""]
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


def _or_zero(loss: Callable, problem: Problem, theta):
    """θ, or 0 where the loss there is less, or is no number at θ.

    Outputs in the thousands would leave their rounding in all that follow.
    """

    def value(theta):
        each = jax.vmap(loss)(outputs_of(problem, theta), problem.y)
        return jnp.sum(problem.share * each)

    return jnp.where(value(theta) <= value(0 * theta), theta, 0)


def _start(setting: Setting, prepared, problem: Problem, theta) -> State:
    if setting.warm:
        theta = _or_zero(setting.loss, problem, theta)
    outputs = outputs_of(problem, theta)
    total = _values(setting.loss, problem, outputs)
    value, gradient = _objective(problem, theta, total)
    zero = jnp.zeros((), theta.dtype)
    floor = jnp.sqrt(jnp.finfo(theta.dtype).eps) * total.size  # an objective may go to 0
    empty = jnp.zeros((setting.form.memory, *theta.shape), theta.dtype)
    shape = jax.eval_shape(functools.partial(_build, setting, prepared), problem, outputs)
    return State(
        theta,
        outputs,
        value,
        gradient,
        total.size,
        floor,
        Steps(empty, empty, empty[:, 0, 0]),
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape),
        jnp.int32(0),
        zero + jnp.inf,
        zero,
        jnp.array(False),
    )


def _unfinished(setting: Setting, state: State):
    promising = state.gap > setting.tol * state.size
    return (state.number < setting.most) & promising & ~state.stuck


def _build(setting: Setting, prepared, problem: Problem, outputs):
    return setting.form.build(prepared, problem, setting.loss, outputs)


def _advance(setting: Setting, prepared, problem: Problem, state: State, clock, active=True):
    """One step, of a model that is ``active``; others stay."""
    form = setting.form
    build = functools.partial(_build, setting, prepared, problem)
    promise = jnp.sum(form.apply(prepared, state.built, state.gradient) * state.gradient) / 2
    # The last step is one of the Hessian there: it leaves the square of its own error.
    last = promise <= setting.tol * state.size
    due = form.due(clock, promise / state.gap, last)
    built = factor.when(due, build, state.outputs, state.built)
    if form.products:
        direction = -_newton_step(setting, prepared, problem, state, built)
    else:
        direction = -_inverse(form, prepared, built, state, clock)
    # No curvature at all, as of Huber's loss where every residual is large.
    direction = jnp.where(jnp.any(direction), direction, -state.gradient)
    slope = jnp.sum(direction * state.gradient)
    change = outputs_of(problem, direction)
    t, total, found = _line_search(setting.loss, problem, state, direction, change, slope)
    theta = state.theta + t * direction
    value, gradient = _objective(problem, theta, total)
    better = active & found
    pair = t * direction, gradient - state.gradient

    def choose(new, old):
        return jnp.where(better, new, old)

    return State(
        choose(theta, state.theta),
        choose(state.outputs + t * change, state.outputs),
        choose(value, state.value),
        choose(gradient, state.gradient),
        choose(jnp.maximum(total.size, state.floor), state.size),
        state.floor,
        _with(state.steps, *pair, better, clock),
        built,
        state.number + active,
        jnp.where(active, -slope / 2, state.gap),
        choose(jnp.max(jnp.abs(t * change) * (problem.share > 0)[:, None]), state.moved),
        state.stuck | (active & (~found | (value >= state.value))),
    )


def _values(loss: Callable, problem: Problem, outputs) -> Values:
    def total(outputs):
        each = jax.vmap(loss)(outputs, problem.y)
        return jnp.sum(problem.share * each), jnp.sum(problem.share * jnp.abs(each))

    (value, size), slopes = jax.value_and_grad(total, has_aux=True)(outputs)
    return Values(value, slopes, size)


def _objective(problem: Problem, theta, total: Values):
    """The objective at θ and its gradient, from the values of the loss there."""
    value = total.value + jnp.sum(problem.penalty * jnp.square(theta)) / 2
    return value, matmul(total.slopes.T, problem.x) + problem.penalty * theta


def _hessian(loss: Callable, problem: Problem, outputs) -> Callable:
    """The product with H at these outputs."""
    slopes = jax.linearize(lambda o: _values(loss, problem, o).slopes, outputs)[1]

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
    part = promise / state.size
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


class _Trial(NamedTuple):
    """A step length between ``low``, where the slope is ``slope``, and ``high``, too far."""

    t: Float[Array, ""]
    low: Float[Array, ""]
    slope: Float[Array, ""]
    high: Float[Array, ""]
    number: Int[Array, ""]
    total: Values
    done: Bool[Array, ""]


def _line_search(loss: Callable, problem: Problem, state: State, direction, change, slope):
    """A step length that meets Wolfe's conditions, and the values there: no product with x.

    The next trial is where the slope would be 0 if it were a line. Where a value overflows, the
    step is too long.
    """
    penalty = problem.penalty
    least = jnp.sum(penalty * jnp.square(state.theta)) / 2
    first = jnp.sum(penalty * state.theta * direction)
    second = jnp.sum(penalty * jnp.square(direction))
    noise = 16 * jnp.finfo(slope.dtype).eps * state.size

    def trial(last: _Trial) -> _Trial:
        t, low, slope_low, high, number, *_ = last
        total = _values(loss, problem, state.outputs + t * change)
        value = total.value + least + t * first + t * t * second / 2
        here = jnp.sum(total.slopes * change) + first + t * second
        down = jnp.isfinite(value) & (value <= state.value + 1e-4 * t * slope + noise)
        flat = (jnp.abs(here) <= -slope / 2) | (-slope <= noise)
        root = low + (t - low) * slope_low / (slope_low - here)
        short = down & (here < 0)
        low, slope_low = jnp.where(short, t, low), jnp.where(short, here, slope_low)
        high = jnp.where(short, high, t)
        inside = (root > 1.05 * low) & (root < high)  # which NaN is not
        middle = jnp.where(low > 0, (low + high) / 2, high / 10)
        other = jnp.where(inside, root, jnp.where(jnp.isinf(high), 10 * t, middle))
        done = down & flat
        following = jnp.where(done, t, jnp.minimum(other, 10 * t))
        return _Trial(following, low, slope_low, high, number + 1, total, done)

    one = jnp.ones_like(slope)
    values = Values(state.value, jnp.zeros_like(state.outputs), state.size)
    start = _Trial(one, 0 * one, slope, jnp.inf * one, jnp.int32(0), values, ~(slope < 0))
    last = jax.lax.while_loop(lambda s: ~s.done & (s.number < _TRIALS), trial, start)
    return last.t, last.total, last.done & (slope < 0)


def certificate(
    loss: Callable, problem: Problem, units: Units, theta, intercept: bool
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The objective, and the norm of its gradient in the parameters of the columns as they came."""
    total = _values(loss, problem, outputs_of(problem, theta))
    value, gradient = _objective(problem, theta, total)
    d = len(units.scale)
    w = gradient[:, :d] * units.scale[None]
    if intercept:
        w += gradient[:, d:] * units.center[None]
    return value, jnp.sqrt(jnp.sum(jnp.square(w)) + jnp.sum(jnp.square(gradient[:, d:])))


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
