"""The report of a fit: what its certificate says, and the status."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear import checks
from jaxlinear.convex import columns, row_space
from jaxlinear.convex.certificate import Certificate, certificate
from jaxlinear.convex.columns import Units
from jaxlinear.convex.problem import Problem
from jaxlinear.convex.recession import Endless, has_no_optimum
from jaxlinear.convex.row_space import RowSpace
from jaxlinear.convex.state import State, has_arrived
from jaxlinear.convex.static import Data, Setting
from jaxlinear.endings import first_true
from jaxlinear.linalg.products import two_norm
from jaxlinear.loops import when
from jaxlinear.model.declaration import family_of, has_classes
from jaxlinear.types import Batch, Linear, Report, Status

_CERTAIN = 1e-5  # of the objective: the most that a fit called CONVERGED may be above the optimum


class Ended(NamedTuple):
    """A model at the end of its iteration: ``mean`` is that of its y."""

    problem: Problem
    state: State
    prepared: Any
    mean: Float[Array, "*k"]


def report_of(
    setting: Setting, data: Data, l2, loss: Callable, units: Units, ended: Ended, found: Linear
) -> Report:
    """How the fit ended: what the certificate says of the parameters as they are rounded.

    ``loss`` is that of vectors of outputs, ``found`` the parameters of rows of outputs.
    """
    problem, state, _, mean = ended
    theta = columns.scaled(found, units, setting.intercept)  # rounded as the parameters are
    told = certificate(loss, problem, units, theta, state, setting.intercept)
    if units.space:
        told = _with_left_out(told, data.batch, l2, units.space)
    norm = norm_of(told.gradient)
    finite = jnp.isfinite(norm) & jnp.isfinite(told.value)
    bad_data = ~data.sound | ~when(~finite, _has_numbers, data.batch, jnp.array(True))

    classes = classes_of(setting, mean)
    doubtful = is_doubtful(setting, problem, units, mean, state, data.tol) & finite
    endless = has_no_optimum(loss, problem, classes, state, told.there, doubtful)
    return ending(state, data.tol, told, norm, bad_data, endless)


def norm_of(gradient: Linear) -> Float[Array, ""]:
    """The 2-norm of a gradient."""
    return two_norm(jnp.concatenate([gradient.w, gradient.b[:, None]], axis=1))


def classes_of(setting: Setting, mean) -> Bool[Array, " k"] | None:
    """Which classes some example has; None where targets are no classes."""
    return mean > 0 if has_classes(setting.loss) else None


def is_doubtful(setting: Setting, problem: Problem, units: Units, mean, state: State, tol):
    """Whether the iteration is done, and it is not certain that there is an optimum."""
    done = state.stuck | has_arrived(state, tol)
    return done & ~_has_optimum(setting, problem, units, mean)


def ending(state: State, tol, told: Certificate, norm, bad_data, endless: Endless) -> Report:
    """The status by the first true condition; ``norm`` is that of the gradient."""
    finite = jnp.isfinite(norm) & jnp.isfinite(told.value)
    arrived = has_arrived(state, tol)
    size = jnp.maximum(state.size, state.floor)
    certain = told.gap <= jnp.maximum(_CERTAIN, 4 * tol) * size
    eps = jnp.finfo(told.value.dtype).eps
    # Less than the rounding of the objective is all that can be asked for.
    resolved = state.stuck & (jnp.maximum(state.gap, state.left) <= 2 * eps * size)
    status = first_true(
        {
            Status.NONFINITE_INPUT: bad_data,
            Status.DIVERGED: ~finite | endless.all,
            Status.CONVERGED: (arrived | resolved) & certain & ~endless.absent,
            Status.NO_DESCENT: state.stuck & (state.gap > jnp.sqrt(eps) * size) & ~certain,
            Status.STALLED_AT_PRECISION: state.stuck | arrived,
        },
        Status.MAX_STEPS,
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
    return checks.finite_where_present(batch._replace(y=batch.y.y))


def _has_optimum(setting: Setting, problem: Problem, units, mean) -> Bool[Array, ""]:
    """Whether an optimum is certain: w has a penalty, and intercepts can give the mean of y."""
    penalised = jnp.all(problem.penalty[:, : len(units.scale)] > 0)
    if not setting.intercept:
        return penalised
    family = family_of(setting.loss)
    if family is None or family.link is None:
        return jnp.array(False)
    # The mean of ones may be a little less.
    more = mean * (1 + jnp.sqrt(jnp.finfo(mean.dtype).eps))
    return penalised & jnp.all(jnp.isfinite(family.link(mean)) & jnp.isfinite(family.link(more)))
