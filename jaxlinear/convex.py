"""The optimum of every smooth convex loss: the named fits, and ``glm`` for a loss of your own.

SGD gives a good model; these give *the* model, with a status, a bound on the distance to the
optimum, and derivatives with respect to all data by the implicit function theorem.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from jaxlinear import (
    _checks,
    columns,
    curvature,
    factor,
    gram,
    implicit,
    losses,
    newton,
    row_space,
)
from jaxlinear.certificate import Certificate, certificate, has_no_optimum
from jaxlinear.exact import located, marked
from jaxlinear.newton import Known, State
from jaxlinear.objective import of_vector, stationarity, with_offset, with_target
from jaxlinear.row_space import RowSpace
from jaxlinear.types import Batch, Fit, Linear, Report, Status

MOST_STEPS = 1000  # in a fit, unless told otherwise
_CERTAIN = 1e-5  # of the objective: the most that a fit called CONVERGED may be above the optimum
_FEW, _ROOM = 50, 2000**2  # coefficients, and numbers, of a Hessian that is kept for all models


def softmax_regression(
    x,
    y,
    l2=0.0,
    *,
    classes: int | None = None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """Minimise Σ_i w_i cross_entropy(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    y is (n,) of integer labels, or (n, k) of distributions; ``classes`` is k where the labels do
    not tell it. All k classes have coefficients, which sum to 0 over the classes: of all that
    give the same probabilities, those of least norm. See ``glm`` for the rest.

    A class without examples has its optimum at infinity: its probability is then about the
    rounding of 1, the other classes are at their optimum, and the status is STALLED_AT_PRECISION.
    Labels of which none is 0 are refused, unless ``classes`` is given.

    scikit-learn's ``LogisticRegression(C=1 / (l2 * Σ w))`` (d2l 4.1).

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> fit = softmax_regression(x, jnp.array([0, 0, 1, 1]), 0.1)
    >>> print(Status(int(fit.report.status)).name, fit.params.w.sum().round(5))
    CONVERGED 0.0
    """
    fit = glm(
        losses.softmax_cross_entropy, x, y, l2, outputs=classes, weight=weight,
        intercept=intercept, tol=tol, max_steps=max_steps, init=init,
    )  # fmt: skip
    if np.ndim(l2):
        return fit
    params = jax.tree.map(lambda leaf: leaf - jnp.mean(leaf, axis=0, keepdims=True), fit.params)
    return fit._replace(params=params)


def logistic_regression(
    x,
    y,
    l2=0.0,
    *,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """Minimise Σ_i w_i logistic(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    y is (n,), in [0, 1]; or (n, k), of k labels that do not exclude each other: k fits that
    share x, with a report for each. See ``glm`` for the rest.

    scikit-learn's ``LogisticRegression(C=1 / (l2 * Σ w))`` (d2l 4.1).

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> fit = logistic_regression(x, jnp.array([0.0, 0.0, 1.0, 1.0]), 0.1)
    >>> print((fit.params.w + fit.params.b).round(5))
    [0.]
    """
    return glm(
        losses.logistic, x, y, l2, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps, init=init,
    )  # fmt: skip


def poisson_regression(
    x,
    y,
    l2=0.0,
    *,
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """Minimise Σ_i w_i poisson(w x_i + b + offset_i, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    y ≥ 0 is (n,), or (n, k) for k fits that share x; the mean is exp(w x + b + offset), with the
    logarithm of the exposure as ``offset``. See ``glm`` for the rest.

    scikit-learn's ``PoissonRegressor(alpha=l2)``, R's ``glm(family = poisson)``.

    >>> x = jnp.array([[0.0], [0.0], [1.0], [1.0]])
    >>> fit = poisson_regression(x, jnp.array([1.0, 3.0, 4.0, 4.0]))
    >>> print(jnp.exp(fit.params.b).round(4), jnp.exp(fit.params.w).round(4))
    2.0 [2.]
    """
    return glm(
        losses.poisson, x, y, l2, offset=offset, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps, init=init,
    )  # fmt: skip


def glm(
    loss: Callable,
    x,
    y,
    l2=0.0,
    *,
    outputs: int | None = None,
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
    near: bool = False,
) -> Fit:
    """Minimise Σ_i w_i loss(w x_i + b + offset_i, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    Args:
      loss: ``loss(o, y)`` of one example, twice differentiable and convex in o, from ``losses``
        or your own. Where it is marked ``separable`` (see ``losses``), k outputs are k fits.
      x: (n, d), floating; or uint8, which is scaled to [0, 1]. Columns of any scale and offset.
      y: (n,) or (n, k), as the loss expects.
      l2: the strength of the penalty on w, a number or (k,); the bias is never penalised.
      outputs: the number of outputs k, where y does not tell it.
      offset: added to the outputs, (n,) for all alike, or (n, k).
      weight: (n,) ≥ 0; 0 leaves an example out.
      intercept: fit b; else b is 0.
      tol: stop after the step that promises to lower the objective by less than this part of
        it; None is 10 eps of the dtype.
      max_steps: the most steps.
      init: parameters to start from, or a ``Fit``; where w = 0 is a better start, it is taken.
      near: ``init`` is near the optimum, as the fit of all examples is to those of folds and
        bootstraps. Where they have 50 to 2,000 coefficients, the Hessian there preconditions all
        steps; under ``vmap`` over weights it is made once. The optimum is the same.

    Returns:
      ``Fit``. ``report.status`` is CONVERGED, where the objective is within 1e-5 of itself of the
      optimum (or four times ``tol``); STALLED_AT_PRECISION where rounding stopped it before, or
      parameters rounded to their dtype are farther off; MAX_STEPS; DIVERGED where there is no
      optimum, as for classes that can be separated without a penalty, a group without events, or
      no events at all with any penalty (the parameters are finite, and what has an optimum is at
      it); NO_DESCENT where the loss is not what it is said to be; or, under ``jit`` and ``vmap``,
      NONFINITE_INPUT. ``report.gap`` is how far the objective may be above the optimum.

    Raises:
      ValueError or TypeError for what can be seen before tracing: shapes, dtypes, labels out of
      range, NaN or inf, negative weights, digits that the dtype cannot hold (see
      ``least_squares``).

    Derivatives of the parameters with respect to x, y, offset, weight and l2, of any order, are
    those of the optimum. Where it is not unique (l2 = 0 and dependent columns) it is one of
    them, and there are no derivatives.

    statsmodels' ``GLM``, R's ``glm`` and, with l2, ``glmnet(alpha = 0)``.

    >>> def log_cosh(o, y):
    ...     return jnp.logaddexp(o - y, y - o)
    >>> x = jnp.linspace(-1, 1, 101)[:, None]
    >>> fit = glm(log_cosh, x, 3 * x[:, 0] + 1)
    >>> print(fit.params.w.round(4), fit.params.b.round(4))
    [3.] 1.0
    """
    setting, data, start = _arranged(
        loss, x, y, outputs, offset, weight, intercept, tol, max_steps, init, near=near
    )
    l2 = _checks.number(l2, "l2", data.tol.dtype, shape=start.b.shape)
    return located(_solve(setting, data, l2, start), x, y, weight)


def glm_path(
    loss: Callable,
    x,
    y,
    l2s,
    *,
    outputs: int | None = None,
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """``glm`` for every penalty of l2s (m,), stacked: each fit starts from the next stronger one.

    One program for any m. See ``glm`` for the arguments; ``jax.vmap`` of ``glm`` over l2 gives
    the same fits side by side, which is faster where they are small, and needs m times the room.

    scikit-learn's ``LogisticRegressionCV``, R's ``glmnet(alpha = 0)``.

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> path = glm_path(losses.logistic, x, jnp.array([0.0, 0.0, 1.0, 1.0]), [0.1, 1.0, 10.0])
    >>> print(path.params.w.round(2).ravel(), path.report.status)
    [1.18 0.22 0.02] [0 0 0]
    """
    setting, data, start = _arranged(
        loss, x, y, outputs, offset, weight, intercept, tol, max_steps, init, fits=np.size(l2s)
    )
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", data.tol.dtype))
    return located(_path(setting, data, l2s, start), x, y, weight)


def _arranged(
    loss, x, y, outputs, offset, weight, intercept, tol, max_steps, init, *, near=False, fits=1
):
    """What is known before tracing, the data, and where to start."""
    if near and init is None:
        raise ValueError("near needs init: the fit of all examples, for example; got None.")
    if losses.is_kinked(loss):
        name = getattr(loss, "__name__", loss)
        raise ValueError(f"{name} has kinks; expected a smooth loss. Use sgd_fit, or huber.")
    batch, shape, sound = _checks.examples(
        x, y, weight, losses.target_of(loss), outputs=outputs, look=False
    )
    dtype = gram.floating_dtype(batch.x)
    tol = 10 * jnp.finfo(dtype).eps if tol is None else tol
    offset = _checks.offset(offset, batch, shape)
    separate = bool(shape) and losses.is_separable(loss)
    models = shape[0] if separate else 1
    width = batch.x.shape[1] + bool(intercept)
    together = 1 if separate or not shape else shape[0]
    examples = len(batch.x)
    in_rows = row_space.pays(examples, batch.x.shape[1], together * models, fits)
    if in_rows:
        width = examples + bool(intercept)
    form = curvature.choose(examples, together, width, models, fits)
    if near and together * width >= _FEW and models * (together * width) ** 2 <= _ROOM:
        form = curvature.near
    if form is curvature.exact and _are_classes(loss):
        form = curvature.exact_of_classes
    most = _checks.count(max_steps, "max_steps")
    setting = _Setting(loss, bool(intercept), form, most, separate, init is not None, in_rows)
    data = _Data(batch, offset, _checks.number(tol, "tol", dtype), sound)
    return setting, data, _start(init, batch.x, shape, dtype)


class _Setting(NamedTuple):
    """What is known before tracing."""

    loss: Callable
    intercept: bool
    form: curvature.Curvature
    most: int
    separate: bool
    warm: bool
    in_rows: bool


class _Data(NamedTuple):
    """What all fits of a path share."""

    batch: Batch
    offset: Float[Array, "n *k"] | None
    tol: Float[ArrayLike, ""]
    sound: Bool[ArrayLike, ""]


@functools.partial(jax.jit, static_argnums=0)
def _path(setting: _Setting, data: _Data, l2s, start: Linear) -> Fit:
    strongest_first = jnp.argsort(-l2s)
    made = _made(setting, data, l2s)

    def following(start, l2):
        fit = _solve(setting._replace(warm=True), data, l2, start, made)
        usable = jnp.isfinite(fit.report.objective)
        usable = usable.reshape(*usable.shape, *[1] * (start.b.ndim - usable.ndim))
        b = jnp.where(usable, fit.params.b.astype(start.b.dtype), start.b)
        w = jnp.where(usable[..., None], fit.params.w.astype(start.w.dtype), start.w)
        return jax.lax.stop_gradient(Linear(w, b)), fit

    _, fits = jax.lax.scan(following, start, l2s[strongest_first])
    return jax.tree.map(lambda leaf: leaf[jnp.argsort(strongest_first)], fits)


class _Made(NamedTuple):
    """What fits of different penalties share: the columns, and what the form is prepared with."""

    columns: columns.Standardised
    prepared: Any


def _made(setting: _Setting, data: _Data, l2s) -> _Made:
    batch = jax.lax.stop_gradient(with_target(data.batch, data.offset))
    l2s = jax.lax.stop_gradient(l2s)
    made = columns.standardised(batch, l2s, setting.intercept, setting.in_rows)
    problem = columns.penalised(made, batch, l2s[0], setting.intercept, 1).own
    return _Made(made, jax.lax.stop_gradient(setting.form.prepare(problem)))


@functools.partial(jax.jit, static_argnums=0)
def _solve(setting: _Setting, data: _Data, l2, start: Linear, made: _Made | None = None) -> Fit:
    batch, offset, tol, sound = data
    tol, start = jax.lax.stop_gradient((tol, start))
    shape = start.b.shape
    of_model = () if setting.separate else shape
    loss = of_vector(setting.loss, of_model)
    told = newton.Setting(
        loss, setting.form, tol, setting.most, _least(setting.loss), _are_classes(setting.loss)
    )
    batch = with_target(batch, offset)
    fixed, l2_fixed = jax.lax.stop_gradient((batch, l2))
    found = (
        made.columns
        if made
        else columns.standardised(fixed, l2_fixed, setting.intercept, setting.in_rows)
    )
    problem, common = columns.penalised(found, fixed, l2_fixed, setting.intercept, start.b.size)
    units, prepared = found.units, made and made.prepared
    mean = _mean_target(setting.loss, problem, shape)
    theta = _intercepts_alone(setting, problem, mean)
    given = columns.scaled(columns.rows(start), units, setting.intercept)
    if not setting.separate:
        if setting.warm:
            theta = newton.better_of(loss, problem, given, theta)
        if told.classes:
            theta = newton.without_shared(problem, theta)
        if setting.form is curvature.near:
            prepared = _known(told, common, given)
        state, prepared = newton.minimise(told, problem, theta, prepared)
        return _finish(setting, shape, batch, l2, tol, sound, units, prepared, problem, state, mean)
    each, common = (
        many._replace(y=jax.tree.map(jnp.transpose, many.y), penalty=many.penalty[:, None])
        for many in (problem, common)
    )
    of_each = curvature.Problem(None, 0, None, 0, None)
    theta, given = theta[:, None], given[:, None]
    if setting.warm:
        better_of = functools.partial(newton.better_of, loss)
        theta = jax.vmap(better_of, (of_each, 0, 0))(each, given, theta)
    own = None
    if setting.form is curvature.near:
        prepared, own = jax.vmap(functools.partial(_known, told), (of_each, 0))(common, given), 0
    minimise = jax.vmap(functools.partial(newton.minimise, told), (of_each, 0, own), (0, own))
    state, prepared = minimise(each, theta, prepared)
    finish = functools.partial(_finish, setting, of_model)
    axes = (Batch(None, 1, None), 0, None, None, None, own, of_each, 0, 0)
    l2 = jnp.broadcast_to(l2, shape)
    return jax.vmap(finish, axes)(batch, l2, tol, sound, units, prepared, each, state, mean)


def _are_classes(loss: Callable) -> bool:
    return losses.target_of(loss) == "labels"


def _least(loss: Callable) -> Callable | None:
    """The least that the loss of a target can be, where its family is known."""
    family = losses.family_of(loss)
    return family and (lambda target: family.least(target[0]))


def _mean_target(loss: Callable, problem: curvature.Problem, shape) -> Float[Array, "*k"]:
    """The mean of y, for labels that of their one-hot vectors: the share of every class."""
    y = problem.y[0]
    if shape and y.ndim == 1:
        y = y[:, None] == jnp.arange(shape[0])[None]
    return jnp.tensordot(problem.share, y.astype(problem.share.dtype), axes=1)


def _intercepts_alone(setting: _Setting, problem: curvature.Problem, mean) -> Float[Array, "k p"]:
    """θ with w = 0, and b where the family of the loss has its optimum by the mean of y alone.

    From 0 the way to the logarithm of a large mean is long, and the first step overflows.
    """
    theta = jnp.zeros_like(problem.penalty)
    family = losses.family_of(setting.loss)
    if family is None or family.link is None or not setting.intercept:
        return theta
    b = family.link(mean)
    if len(problem.y) > 1:
        b = b - jnp.tensordot(problem.share, problem.y[1], axes=1)
    return theta.at[:, -1].set(jnp.where(jnp.isfinite(b), b, 0).reshape(-1))


def _known(told: newton.Setting, common: curvature.Problem, theta):
    """What is known of the Hessian beforehand, for all models that start at θ."""
    return curvature.inverse_there(told.loss, common, columns.outputs_of(common, theta))


def _finish(
    setting, shape, batch, l2, tol, sound, units, prepared, problem, state: State, mean
) -> Fit:
    """Parameters in the units of x, with their derivatives, and the report."""
    found = columns.unscaled(state.theta, units, setting.intercept)
    params = Linear(found.w.reshape(*shape, -1), found.b.reshape(shape))
    params = implicit.optimum(
        functools.partial(stationarity, with_offset(setting.loss), setting.intercept),
        functools.partial(_inverse_hessian, setting, shape),
        params,
        (Known(problem, units, state.outputs, prepared, state.built), l2),
        (batch, l2),
    )
    fixed = jax.lax.stop_gradient((batch, l2))
    report = _report(setting, shape, *fixed, tol, sound, units, problem, state, found, mean)
    failed = report.status == Status.NONFINITE_INPUT
    return Fit(marked(params, failed, batch.x.dtype), report)


def _inverse_hessian(setting: _Setting, shape, at: tuple[Known, Any], g: Linear) -> Linear:
    (known, l2), side = at, columns.rows(g)
    loss = of_vector(setting.loss, shape)
    solved = newton.inverse_hessian(loss, setting.form, setting.intercept, known, side)
    if known.units.space:
        solved = row_space.with_rest(solved, side, l2, known.units.space)
    return Linear(solved.w.reshape(g.w.shape), solved.b.reshape(g.b.shape))


def _report(
    setting, shape, batch: Batch, l2, tol, sound, units, problem, state: State, found: Linear, mean
) -> Report:
    loss = of_vector(setting.loss, shape)
    theta = columns.scaled(found, units, setting.intercept)  # rounded as the parameters are
    told = certificate(loss, problem, units, theta, state, setting.intercept)
    if units.space:
        told = _with_left_out(told, batch, l2, units.space)
    norm = factor.norm(jnp.concatenate([told.gradient.w, told.gradient.b[:, None]], axis=1))
    finite = jnp.isfinite(norm) & jnp.isfinite(told.value)
    bad_data = ~sound | ~factor.when(~finite, _has_numbers, batch, jnp.array(True))

    arrived = newton.arrived(state, tol)
    ended = state.stuck | arrived
    classes = mean > 0 if _are_classes(setting.loss) else None
    doubtful = ended & finite & ~_has_optimum(setting, problem, units, mean)
    endless = has_no_optimum(loss, problem, classes, state, told.there, doubtful)
    size = jnp.maximum(state.size, state.floor)
    certain = told.gap <= jnp.maximum(_CERTAIN, 4 * tol) * size
    eps = jnp.finfo(told.value.dtype).eps
    # Less than the rounding of the objective is all that can be asked for.
    resolved = state.stuck & (jnp.maximum(state.gap, state.left) <= 2 * eps * size)
    found = (arrived | resolved) & certain & ~endless.absent
    lost = state.stuck & (state.gap > jnp.sqrt(eps) * size)
    status = jnp.select(
        [bad_data, ~finite | endless.all, found, lost, ended],
        [
            jnp.int32(code)
            for code in (
                Status.NONFINITE_INPUT,
                Status.DIVERGED,
                Status.CONVERGED,
                Status.NO_DESCENT,
                Status.STALLED_AT_PRECISION,
            )
        ],
        jnp.int32(Status.MAX_STEPS),
    )
    return Report(status, state.number, told.value, norm, gap=told.gap)


def _with_left_out(told: Certificate, batch: Batch, l2, space: RowSpace) -> Certificate:
    """The certificate in the columns of x, where l2 bounds what lies outside of the row space."""
    rest = row_space.left_out(told.there.slopes, batch.x, batch.weight, space)
    l2 = jnp.broadcast_to(l2, rest.shape[:1])
    squares = jnp.sum(jnp.square(rest), axis=1)
    gap = told.gap + jnp.sum(jnp.where(l2 > 0, squares / jnp.where(l2 > 0, 2 * l2, 1), 0))
    w, b = row_space.gradient(told.gradient, space)
    return told._replace(gradient=Linear(w + rest, b), gap=gap)


def _has_numbers(batch: Batch) -> Bool[Array, ""]:
    return _checks.finite_where_present(batch._replace(y=batch.y[0]))


def _has_optimum(setting: _Setting, problem: curvature.Problem, units, mean) -> Bool[Array, ""]:
    """Whether an optimum is certain: w has a penalty, and intercepts can give the mean of y."""
    penalised = jnp.all(problem.penalty[:, : len(units.scale)] > 0)
    if not setting.intercept:
        return penalised
    family = losses.family_of(setting.loss)
    if family is None or family.link is None:
        return jnp.array(False)
    # The mean of ones may be a little less.
    more = mean * (1 + jnp.sqrt(jnp.finfo(mean.dtype).eps))
    return penalised & jnp.all(jnp.isfinite(family.link(mean)) & jnp.isfinite(family.link(more)))


def _start(init: Linear | Fit | None, x, shape: tuple[int, ...], dtype) -> Linear:
    if init is None:
        zero = np.zeros((*shape, x.shape[1]), dtype)
        return Linear(zero, zero[..., 0])
    params = init.params if isinstance(init, Fit) else init
    return Linear(
        *(jnp.asarray(leaf, dtype) for leaf in _checks.parameters(params, "init", shape, x))
    )
