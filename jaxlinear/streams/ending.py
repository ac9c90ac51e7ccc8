"""How a fit to a stream ends: the certificate and the status, by one pass, or by three in doubt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear.convex import certificate, columns, recession, report
from jaxlinear.convex.certificate import PerExample
from jaxlinear.convex.problem import Values, outputs_of, values_at
from jaxlinear.convex.recession import Signs
from jaxlinear.convex.state import State
from jaxlinear.convex.static import Setting
from jaxlinear.model.objective import of_vector
from jaxlinear.rows.stream import Passes, in_pairs
from jaxlinear.streams.newton import of_penalty
from jaxlinear.streams.problem import Last, Standard, Task, at_end, of_models, problem_of
from jaxlinear.types import Batch, Linear, Report


def report_of(
    task: Task, standard: Standard, passes: Passes, state: State, found: Linear, mean, tol
) -> Report:
    """The report of parameters ``found`` (m, k, d), as they are rounded; ``mean`` is that of y."""
    theta = scaled(task, standard, found)
    last = at_end(task, standard, passes, theta)
    doubtful, suspect = _doubts(task, standard, state, last, mean, tol)
    directions = _directions(task, state, mean)
    falls = np.zeros(directions.rest.shape, bool)
    if np.asarray(suspect).any():
        falls = _falls(task, standard, passes, theta, directions, mean)
    return _report(task, standard, state, theta, last, mean, tol, doubtful, falls)


@functools.partial(jax.jit, static_argnums=0)
def scaled(task: Task, standard: Standard, found: Linear):
    """θ of parameters (m, k, d)."""
    return jax.vmap(lambda params: columns.scaled(params, standard.units, task.intercept))(found)


def _setting(task: Task) -> Setting:
    """What of a fit in memory decides how it ends."""
    return Setting(task.loss, task.intercept, None, task.most, task.separate, True, False)


def _classes(task: Task, mean):
    return report.classes_of(_setting(task), mean)


def _told(task: Task, standard: Standard, state: State, theta, last: Last, penalty):
    """The certificate of one model."""
    problem = of_penalty(penalty)
    gradient = last.gradient + penalty * theta
    d = len(standard.units.scale)
    moments = last.moments if task.intercept else None
    return certificate.certified(
        problem,
        standard.units,
        theta,
        state,
        Values(last.value, None, last.size),
        gradient,
        lambda gradient, *_: certificate.bound(problem, gradient, moments, d),
        task.intercept,
    )


@functools.partial(jax.jit, static_argnums=0)
def _doubts(task: Task, standard: Standard, state: State, last: Last, mean, tol):
    """Whether it is not certain that there is an optimum, and whether the rows must be asked."""

    def one(state, last, penalty, mean):
        problem, setting = of_penalty(penalty), _setting(task)
        finite = jnp.isfinite(last.value) & jnp.all(jnp.isfinite(last.gradient))
        units = standard.units
        doubtful = report.is_doubtful(setting, problem, units, mean, state, tol) & finite
        return doubtful, recession.is_suspect(state, _classes(task, mean), doubtful)

    return jax.vmap(one)(state, last, standard.penalty, mean)


@functools.partial(jax.jit, static_argnums=0)
def _directions(task: Task, state: State, mean) -> recession.Directions:
    return jax.vmap(lambda state, mean: recession.directions_of(state, _classes(task, mean)))(
        state, mean
    )


def _falls(task: Task, standard: Standard, passes: Passes, theta, directions, mean):
    """Whether no loss rises along a direction, however far, and some fall: (m, directions)."""
    farthest = in_pairs(
        jnp.maximum, (_farthest(task, standard, directions, mean, block) for block in passes)
    )
    signs = in_pairs(
        _either,
        (_signs(task, standard, theta, directions, farthest, mean, block) for block in passes),
    )
    return ~np.asarray(signs.rises) & np.asarray(signs.falls)


@jax.jit
def _either(a: Signs, b: Signs) -> Signs:
    return jax.tree.map(jnp.logical_or, a, b)


@functools.partial(jax.jit, static_argnums=0)
def _farthest(task: Task, standard: Standard, directions, mean, block: Batch):
    def one(y, argument):
        directions, penalty, mean = argument
        problem, classes = problem_of(task, standard, block, y, penalty), _classes(task, mean)
        return jax.lax.map(
            lambda direction: recession.farthest(
                problem, recession.change_along(problem, classes, direction)
            ),
            directions,
        )

    return of_models(task, one, block, (directions, standard.penalty, mean))


@functools.partial(jax.jit, static_argnums=0)
def _signs(task: Task, standard: Standard, theta, directions, farthest, mean, block: Batch):
    loss = of_vector(task.loss, task.outputs)

    def one(y, argument):
        theta, directions, farthest, penalty, mean = argument
        problem, classes = problem_of(task, standard, block, y, penalty), _classes(task, mean)
        outputs = outputs_of(problem, theta)
        losses = jax.vmap(loss)(outputs, problem.target)
        there = PerExample(outputs, losses, values_at(loss, problem, outputs).slopes)

        def along(argument):
            direction, largest = argument
            change = recession.change_along(problem, classes, direction)
            change = recession.without_rest(classes, change, largest, direction.rest)
            return recession.signs(loss, problem, there, change, largest, direction.rest)

        return jax.lax.map(along, (directions, farthest))

    arguments = theta, directions, farthest, standard.penalty, mean
    return of_models(task, one, block, arguments)


@functools.partial(jax.jit, static_argnums=0)
def _report(
    task: Task, standard: Standard, state: State, theta, last: Last, mean, tol, doubtful, falls
) -> Report:
    def one(state, theta, last, penalty, mean, doubtful, falls):
        told = _told(task, standard, state, theta, last, penalty)
        endless = recession.endless(state, _classes(task, mean), doubtful, falls)
        norm = report.norm_of(told.gradient)
        # Values were sound in the first pass: else the fit has been refused.
        return report.ending(state, tol, told, norm, jnp.array(False), endless)

    told = jax.vmap(one)(state, theta, last, standard.penalty, mean, doubtful, falls)
    return told if task.separate else jax.tree.map(lambda leaf: leaf[0], told)
