"""A fit from its data to its report: standardised, started, minimised, finished."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex import columns, derivatives, newton, row_space
from jaxlinear.convex.derivatives import Optimum
from jaxlinear.convex.preconditioners.frozen import frozen, inverse_there
from jaxlinear.convex.problem import Problem, better_start, outputs_of, without_shared
from jaxlinear.convex.report import Ended, report_of
from jaxlinear.convex.state import Method
from jaxlinear.convex.static import Data, Setting
from jaxlinear.endings import marked, shaped
from jaxlinear.linalg import implicit
from jaxlinear.model.declaration import family_of, has_classes, target_of
from jaxlinear.model.objective import of_vector, stationarity, with_offset, with_target
from jaxlinear.types import Batch, Fit, Linear, Status


@functools.partial(jax.jit, static_argnums=0)
def path(setting: Setting, data: Data, l2s, start: Linear) -> Fit:
    """Fits from the strongest penalty on, each from the one before."""
    strongest_first = jnp.argsort(-l2s)
    shared = _shared(setting, data, l2s)

    def following(start, l2):
        fit = solve(setting._replace(warm=True), data, l2, start, shared)
        usable = jnp.isfinite(fit.report.objective)
        usable = usable.reshape(*usable.shape, *[1] * (start.b.ndim - usable.ndim))
        b = jnp.where(usable, fit.params.b.astype(start.b.dtype), start.b)
        w = jnp.where(usable[..., None], fit.params.w.astype(start.w.dtype), start.w)
        return jax.lax.stop_gradient(Linear(w, b)), fit

    _, fits = jax.lax.scan(following, start, l2s[strongest_first])
    return jax.tree.map(lambda leaf: leaf[jnp.argsort(strongest_first)], fits)


class Shared(NamedTuple):
    """What fits of different penalties share: the columns, and what the form is prepared with."""

    columns: columns.Standardised
    prepared: Any


def _shared(setting: Setting, data: Data, l2s) -> Shared:
    batch = jax.lax.stop_gradient(with_target(data.batch, data.offset))
    l2s = jax.lax.stop_gradient(l2s)
    standard = _standardised(setting, batch, l2s)
    problem = columns.penalised(standard, batch, l2s[0], setting.intercept, 1).common
    return Shared(standard, jax.lax.stop_gradient(setting.form.prepare(problem)))


def _standardised(setting: Setting, batch: Batch, l2) -> columns.Standardised:
    intercept, in_rows, shards = setting.intercept, setting.in_rows, setting.shards
    return columns.standardised(batch, l2, intercept, in_rows, shards=shards)


@functools.partial(jax.jit, static_argnums=0)
def solve(setting: Setting, data: Data, l2, start: Linear, shared: Shared | None = None) -> Fit:
    """The fit at one penalty; k fits where the loss is separable."""
    shape = start.b.shape
    tol, start = jax.lax.stop_gradient((data.tol, start))
    data = Data(with_target(data.batch, data.offset), None, tol, data.sound)
    fixed, l2_fixed = jax.lax.stop_gradient((data.batch, l2))
    found = shared.columns if shared else _standardised(setting, fixed, l2_fixed)
    problems = columns.penalised(found, fixed, l2_fixed, setting.intercept, start.b.size)
    units, prepared = found.units, shared and shared.prepared
    mean = _mean_target(setting.loss, problems.own, shape)
    theta = intercepts_alone(setting.loss, setting.intercept, problems.own, mean)
    given = columns.scaled(columns.rows(start), units, setting.intercept)
    if not setting.separate:
        ended = _one(setting, tol, problems, theta, given, prepared, mean, shape)
        return _finish(setting, shape, data, l2, units, ended)
    # Every output is a model of its own, with one row of θ.
    each = columns.Problems(
        *(
            many._replace(
                target=jax.tree.map(jnp.transpose, many.target), penalty=many.penalty[:, None]
            )
            for many in problems
        )
    )
    of_each = Problem(None, 0, None, 0, None)
    own = 0 if setting.form is frozen else None
    of_ended = Ended(of_each, 0, own, 0)
    one = functools.partial(_one, setting, tol, shape=())
    axes = columns.Problems(of_each, of_each), 0, 0, None, 0
    ended = jax.vmap(one, axes, of_ended)(each, theta[:, None], given[:, None], prepared, mean)
    of_data = Data(Batch(None, 1, None), None, None, None)
    finish = jax.vmap(functools.partial(_finish, setting, ()), (of_data, 0, None, of_ended))
    return finish(data, jnp.broadcast_to(l2, shape), units, ended)


def _one(setting: Setting, tol, problems, theta, given, prepared, mean, shape) -> Ended:
    """The iteration from θ, or from what is ``given`` where that is the better start."""
    problem, common = problems
    loss = of_vector(setting.loss, shape)
    form, most, warm = setting.form, setting.most, setting.warm
    classes = has_classes(setting.loss)
    method = Method(loss, form, tol, most, least_of(setting.loss), classes, warm)
    unknown = family_of(setting.loss) is None and target_of(setting.loss) == "real"
    if unknown and setting.intercept:
        # Near the mean of y there may be curvature, and none at 0, as of Huber's loss.
        theta = better_start(loss, problem, _of_intercepts(problem, mean), theta)
    if setting.warm:
        theta = better_start(loss, problem, given, theta)
    if method.classes:
        theta = without_shared(problem, theta)
    if setting.form is frozen:
        prepared = inverse_there(loss, common, outputs_of(common, given))
    elif prepared is None:
        prepared = form.prepare(common)  # once where models share x, whatever their weights
    state, prepared = newton.minimise(method, problem, theta, prepared)
    return Ended(problem, state, prepared, mean)


def least_of(loss: Callable) -> Callable | None:
    """The least that the loss of a target can be, where its family is known."""
    family = family_of(loss)
    return family and (lambda target: family.least(target.y))


def _mean_target(loss: Callable, problem: Problem, shape) -> Float[Array, "*k"]:
    """The mean of y, for labels that of their one-hot vectors: the share of every class."""
    y = problem.target.y
    if shape and y.ndim == 1:
        y = y[:, None] == jnp.arange(shape[0])[None]
    return jnp.tensordot(problem.share, y.astype(problem.share.dtype), axes=1)


def intercepts_alone(
    loss: Callable, intercept: bool, problem: Problem, mean
) -> Float[Array, "k p"]:
    """θ with w = 0, and b where the family of the loss has its optimum by the mean of y alone.

    From 0 the way to the logarithm of a large mean is long, and the first step overflows.
    """
    family = family_of(loss)
    if family is None or family.link is None or not intercept:
        return jnp.zeros_like(problem.penalty)
    return _of_intercepts(problem, family.link(mean))


def _of_intercepts(problem: Problem, mean) -> Float[Array, "k p"]:
    """θ with w = 0, and b for outputs of this mean, offsets included."""
    b = mean
    if problem.target.offset is not None:
        b = b - jnp.tensordot(problem.share, problem.target.offset, axes=1)
    b = jnp.where(jnp.isfinite(b), b, 0).reshape(-1)
    return jnp.zeros_like(problem.penalty).at[:, -1].set(b)


def _finish(setting: Setting, shape, data: Data, l2, units: columns.Units, ended: Ended) -> Fit:
    """Parameters in the units of x, with their derivatives, and the report."""
    found = columns.unscaled(ended.state.theta, units, setting.intercept)
    params = shaped(found, shape)
    optimum = Optimum(ended.problem, units, ended.state.outputs, ended.prepared, ended.state.built)
    params = implicit.optimum(
        functools.partial(stationarity, with_offset(setting.loss), setting.intercept),
        functools.partial(_inverse_hessian, setting, shape),
        params,
        (optimum, l2),
        (data.batch, l2),
    )
    loss = of_vector(setting.loss, shape)
    fixed, l2_fixed = jax.lax.stop_gradient((data, l2))
    report = report_of(setting, fixed, l2_fixed, loss, units, ended, found)
    failed = report.status == Status.NONFINITE_INPUT
    return Fit(marked(params, failed, data.batch.x.dtype), report)


def _inverse_hessian(setting: Setting, shape, at: tuple[Optimum, Any], g: Linear) -> Linear:
    (optimum, l2), side = at, columns.rows(g)
    loss = of_vector(setting.loss, shape)
    solved = derivatives.inverse_hessian(loss, setting.form, setting.intercept, optimum, side)
    if optimum.units.space:
        solved = row_space.with_rest(solved, side, l2, optimum.units.space)
    return shaped(solved, shape)
