"""The objective: the weighted mean loss over a batch plus the penalty, and the one ``vmap``."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxlinear import penalties
from jaxlinear.factor import power_of_two
from jaxlinear.models import affine
from jaxlinear.types import Batch, Rows


def mean_loss(
    loss: Callable,
    model: Callable = affine,
    penalty: Callable = penalties.l2,
    *,
    minibatch: bool = False,
) -> Callable:
    """Make ``objective(params, batch, l2=0.)``: Σ_i w_i loss(o_i, y_i) / Σ_i w_i + l2/2 ‖w‖².

    ``loss(o, y)`` and ``model(params, x)`` are written for one example. An example of weight 0
    is absent, in the value and in every gradient; the derivative in its weight says what it would
    change, and is 0 where it holds no number. A batch with no example has the penalty as its
    objective. Models that share x and differ in weights, as folds do, copy nothing of x.

    ``minibatch=True`` is for a part of the data whose weights are relative to their mean over all
    of it, as ``weight / weight.mean()``: it divides by the m examples of the minibatch instead,
    as an estimate without bias of the objective of all. Divided by their own sum the weights of a
    minibatch would do less the smaller it is, and in one of a single example nothing.

    >>> from jaxlinear import losses, zeros
    >>> objective = mean_loss(losses.softmax_cross_entropy)
    >>> batch = Batch(jnp.ones((4, 784)), jnp.arange(4))
    >>> print(objective(zeros(784, 10), batch).round(4))  # log 10
    2.3026
    """

    def objective(params, batch: Batch, l2=0.0):
        x, y, weight = readable(batch)
        outputs = jax.vmap(model, (None, 0))(params, x)
        each, weight = each_loss(loss, outputs, y, weight)
        return _mean(minibatch)(each, weight) + penalty(params.w, l2)

    return objective


def stationarity(loss: Callable, intercept: bool, params, data, penalty: Callable = penalties.l2):
    """The gradient of the objective at ``data`` = (batch, l2), whose root is the optimum.

    Without intercept b is held at 0, and is its own gradient.
    """
    batch, l2 = data

    def objective(params):
        held = params if intercept else params._replace(b=jnp.zeros_like(params.b))
        return mean_loss(loss, penalty=penalty)(held, batch, l2)

    with jax.default_matmul_precision("highest"):
        gradient = jax.grad(objective)(params)
    return gradient if intercept else gradient._replace(b=params.b)


def with_target(batch: Batch, offset) -> Batch:
    """The batch with the target that ``with_offset`` expects."""
    return batch._replace(y=(batch.y,) if offset is None else (batch.y, offset))


def with_offset(loss: Callable) -> Callable:
    """``loss(o, target)`` whose target is a tuple of y and, where there is one, an offset of o."""

    def shifted(o, target):
        y, *offset = target
        return loss(o + offset[0] if offset else o, y)

    return shifted


def of_vector(loss: Callable, shape: tuple[int, ...]) -> Callable:
    """``with_offset(loss)`` for outputs (k,), with k = 1 where those of the model are ()."""
    shifted = with_offset(loss)
    return lambda o, target: shifted(o.reshape(shape), target)


def weighted_mean(values, weight=None):
    """Σ_i w_i v_i / Σ_i w_i over the first axis; 0 where no example has weight."""
    if weight is None:
        return jnp.mean(values, axis=0)
    weight = relative(weight)
    total = jnp.sum(weight)
    weighted = jnp.tensordot(weight, values.astype(weight.dtype), axes=1)
    return (weighted / jnp.where(total == 0, 1, total)).astype(values.dtype)


def ones_or(weight, n: int, dtype):
    """The weights (n,) in a dtype; without any, n ones, of which the compiler knows only one.

    Those that it knows it sums and searches itself, for a minute where n is a million.
    """
    if weight is not None:
        return weight.astype(dtype)
    return jnp.broadcast_to(jax.lax.optimization_barrier(jnp.ones((), dtype)), (n,))


def relative(weight):
    """Weights in the unit of their largest, which is rounded to a power of two: nothing else is.

    Every objective divides by their sum, which neither overflows then nor vanishes.
    """
    if weight is None:
        return None
    return weight / power_of_two(jnp.max(jax.lax.stop_gradient(weight)))


# ------------------------------------------------------------------ who is absent


def readable(batch: Rows) -> Rows:
    """The batch, with 0 for what is no number, since NaN times 0 is NaN.

    The weight of such an example stays 0, with no derivative; it is NaN where it was not 0, and
    so is all that is made of it. What becomes of x does not depend on the weights, so that many
    models still share it.
    """
    if batch.weight is None:
        return batch
    x, y = batch.x, batch.y
    broken = ~functools.reduce(jnp.logical_and, map(_rows_of_numbers, jax.tree.leaves((x, y))))
    nothing = jnp.where(batch.weight == 0, 0, jnp.nan).astype(batch.weight.dtype)
    x, y = jax.tree.map(_numbers, (x, y))
    return batch._replace(x=x, y=y, weight=jnp.where(broken, nothing, batch.weight))


def _rows_of_numbers(rows):
    if not jnp.issubdtype(rows.dtype, jnp.floating):
        return jnp.ones((), bool)
    return jnp.isfinite(rows).reshape(len(rows), -1).all(axis=1)


def _numbers(rows):
    if not jnp.issubdtype(rows.dtype, jnp.floating):
        return rows  # a copy of the images is not free
    return jnp.where(jnp.isfinite(rows), rows, 0)


def each_loss(loss: Callable, outputs, y, weight):
    """The losses (n,), and the weights: of an absent example without a loss 0, for good.

    There exp(o) may overflow, or the loss not take y, and 0 times inf is NaN. Its loss is that at
    the largest of the other outputs and targets: a sum over devices can tell them.
    """
    each = jax.vmap(loss)
    if weight is None:
        return each(outputs, y), None
    lost = ~jnp.isfinite(each(*jax.lax.stop_gradient((outputs, y)))) & (weight == 0)

    def fill(rows):
        least = -jnp.inf if jnp.issubdtype(rows.dtype, jnp.floating) else 0
        largest = jnp.max(where_present(weight, jax.lax.stop_gradient(rows), least), axis=0)
        return where_present(~lost, rows, jnp.where(jnp.isfinite(largest), largest, 0))

    values = each(*jax.tree.map(fill, (outputs, y)))  # the largest of one-hot rows is no target
    return jnp.where(lost, 0, values), jnp.where(lost, 0, weight)


def _mean(minibatch: bool) -> Callable:
    return estimated_mean if minibatch else weighted_mean


def estimated_mean(values, weight=None):
    """Σ_i w_i v_i / m: of m examples, drawn from data over which the weights have mean 1."""
    if weight is None:
        return jnp.mean(values, axis=0)
    weighted = jnp.tensordot(weight, values.astype(weight.dtype), axes=1)
    return (weighted / len(values)).astype(values.dtype)


def of_mean_one(weight):
    """The weights over their mean, in whatever unit they come; 0 where all are 0."""
    if weight is None:
        return None
    weight = relative(weight)
    mean = jnp.mean(weight)
    return weight / jnp.where(mean == 0, 1, mean)


def where_present(weight, rows, otherwise=0):
    """The rows (n, …) whose weight is not 0, and ``otherwise`` in the place of the others."""
    if weight is None:
        return rows
    return jnp.where((weight != 0).reshape(-1, *[1] * (rows.ndim - 1)), rows, otherwise)


def blank(weight, rows):
    """The rows (n, …), where those of weight 0 are copies of one that is present.

    Even a loss that is not defined at zero is then finite, whatever they hold.
    """
    if weight is None or rows.dtype == jnp.uint8:
        return rows  # bytes are always finite
    present = weight != 0
    first = jnp.argmax(present)
    return where_present(weight, rows, jnp.where(present[first], rows[first], 0))
