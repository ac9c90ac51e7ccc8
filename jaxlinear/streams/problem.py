"""The problem of a convex fit, block by block: what one pass over the rows tells of a point.

A solver in memory knows the outputs of all examples. Over a stream it knows a point θ and the step
that led there, and asks for sums over the rows: the loss, its gradient and its curvature. Models
that share x, one for each output of a separable loss, have a leading axis in all of them.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex import problem as whole
from jaxlinear.convex.columns import Units
from jaxlinear.convex.preconditioners.cholesky import exact
from jaxlinear.convex.preconditioners.mean_curvature import gram_of
from jaxlinear.convex.problem import Problem, curvatures, gradient_at, outputs_of, values_at
from jaxlinear.convex.recession import farthest
from jaxlinear.linalg.products import weighted_rows
from jaxlinear.model.declaration import has_classes
from jaxlinear.model.objective import Target, of_vector
from jaxlinear.rows.means import away_from
from jaxlinear.rows.stream import Passes, added, in_pairs
from jaxlinear.types import Batch


class Task(NamedTuple):
    """What is known before tracing: ``outputs`` are those of one model.

    ``separate``: every output is a model of its own. ``form``: "hessian"; or, of more coefficients,
    products with it, with the "gram" matrix of x as preconditioner, or its "diagonal".
    """

    loss: Callable
    outputs: tuple[int, ...]
    intercept: bool
    separate: bool
    form: str
    most: int


class Standard(NamedTuple):
    """How columns are standardised, the weight of all rows, and λ / scale² of every coefficient."""

    units: Units
    weight: Float[Array, ""]
    penalty: Float[Array, "m k p"]


class Sums(NamedTuple):
    """Sums over rows at a point, by their shares: Σ loss, Σ |loss|, and the gradient of the first.

    Of the direction of the last step: the ``slope`` of the first along it. ``outputs`` is Σ |o|,
    ``curvature`` the Hessian, or that of every output alone.
    """

    value: Float[Array, "*m"]
    size: Float[Array, "*m"]
    gradient: Float[Array, "*m k p"]
    slope: Float[Array, "*m"]
    outputs: Float[Array, "*m"]
    curvature: Float[Array, "*m a"] | Float[Array, "*m a a"]


class Point(NamedTuple):
    """What one pass tells of a point; ``farthest``: the most that the direction moves an output."""

    sums: Sums
    farthest: Float[Array, "*m"]


def problem_of(task: Task, standard: Standard, block: Batch, y, penalty) -> Problem:
    """The problem of the rows of a block, for one model."""
    center, scale, _ = standard.units
    x = away_from(block, "x", center) / scale[None]
    x = jnp.pad(x, ((0, 0), (0, task.intercept)), constant_values=1)
    share = (block.weight / standard.weight).astype(x.dtype)
    return Problem(x, Target(y, None), share, penalty)


def of_models(task: Task, function: Callable, block: Batch, arguments):
    """``function(y, argument)`` for every model, one after another."""
    y = block.y.T if task.separate and block.y.ndim == 2 else block.y[None]
    return jax.lax.map(lambda each: function(*each), (y, arguments))


def over(passes: Passes, visit: Callable):
    """Σ of ``visit(block)`` over the blocks of one pass."""
    return in_pairs(added, map(visit, passes))


def at_point(task: Task, standard: Standard, passes: Passes, theta, direction) -> Point:
    """What a pass tells of θ, and of the direction that led there."""
    parts = (_of_block(task, standard, theta, direction, block) for block in passes)
    return in_pairs(_merged, parts)


@jax.jit
def _merged(a: Point, b: Point) -> Point:
    return Point(added(a.sums, b.sums), jnp.maximum(a.farthest, b.farthest))


@functools.partial(jax.jit, static_argnums=0)
def _of_block(task: Task, standard: Standard, theta, direction, block: Batch) -> Point:
    loss = of_vector(task.loss, task.outputs)

    def one(y, argument):
        theta, direction = argument
        problem = problem_of(task, standard, block, y, jnp.zeros_like(theta))
        outputs, change = outputs_of(problem, theta), outputs_of(problem, direction)
        total = values_at(loss, problem, outputs)
        if task.form == "hessian":
            curvature = exact(problem, loss, outputs, has_classes(task.loss))
        else:
            curvature = jnp.sum(curvatures(loss, problem, outputs), axis=0)
        sums = Sums(
            total.value,
            total.size,
            gradient_at(problem, theta, total),
            jnp.sum(total.slopes * change),
            jnp.sum(problem.share[:, None] * jnp.abs(outputs)),
            curvature,
        )
        return Point(sums, farthest(problem, change))

    return of_models(task, one, block, (theta, direction))


def hessian_product(task: Task, standard: Standard, passes: Passes, theta, v):
    """The product of the Hessian at θ with v, in one pass."""
    product = over(passes, lambda block: _product(task, standard, theta, v, block))
    return product + standard.penalty * v


@functools.partial(jax.jit, static_argnums=0)
def _product(task: Task, standard: Standard, theta, v, block: Batch):
    loss = of_vector(task.loss, task.outputs)

    def one(y, argument):
        theta, v = argument
        problem = problem_of(task, standard, block, y, jnp.zeros_like(theta))
        return whole.hessian_product(loss, problem, outputs_of(problem, theta))(v)

    return of_models(task, one, block, (theta, v))


def gram(task: Task, standard: Standard, passes: Passes) -> Float[Array, "p p"]:
    """The Gram matrix of the standardised columns, in one pass."""
    return over(passes, lambda block: _gram(task, standard, block))


@functools.partial(jax.jit, static_argnums=0)
def _gram(task: Task, standard: Standard, block: Batch):
    return gram_of(problem_of(task, standard, block, None, None))


class Last(NamedTuple):
    """What the certificate needs: Σ loss, Σ |loss|, the gradient, and Σ of curvatures and x."""

    value: Float[Array, " m"]
    size: Float[Array, " m"]
    gradient: Float[Array, "m k p"]
    moments: Float[Array, "m k p"]


def at_end(task: Task, standard: Standard, passes: Passes, theta) -> Last:
    """What a pass tells of the parameters that are returned."""
    return over(passes, lambda block: _of_last(task, standard, theta, block))


@functools.partial(jax.jit, static_argnums=0)
def _of_last(task: Task, standard: Standard, theta, block: Batch) -> Last:
    loss = of_vector(task.loss, task.outputs)

    def one(y, theta):
        problem = problem_of(task, standard, block, y, jnp.zeros_like(theta))
        outputs = outputs_of(problem, theta)
        total = values_at(loss, problem, outputs)
        moments = weighted_rows(curvatures(loss, problem, outputs), problem.x)
        return Last(total.value, total.size, gradient_at(problem, theta, total), moments)

    return of_models(task, one, block, theta)
