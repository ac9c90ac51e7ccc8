"""The objective: the weighted mean loss over a batch plus the penalty, and the one ``vmap``."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxlinear import penalties
from jaxlinear.models import affine
from jaxlinear.types import Batch


def mean_loss(
    loss: Callable, model: Callable = affine, penalty: Callable = penalties.l2
) -> Callable:
    """Make ``objective(params, batch, l2=0.)``: Σ_i w_i loss(o_i, y_i) / Σ_i w_i + l2/2 ‖w‖².

    ``loss(o, y)`` and ``model(params, x)`` are written for one example. An example of weight 0
    is absent, whatever it holds, in the value and in every gradient; a batch with no example
    has the penalty as its objective.

    >>> from jaxlinear import losses, zeros
    >>> objective = mean_loss(losses.softmax_cross_entropy)
    >>> batch = Batch(jnp.ones((4, 784)), jnp.arange(4))
    >>> print(objective(zeros(784, 10), batch).round(4))  # log 10
    2.3026
    """

    def objective(params, batch: Batch, l2=0.0):
        batch = blank_absent(batch)
        each = jax.vmap(lambda x, y: loss(model(params, x), y))(batch.x, batch.y)
        return weighted_mean(each, batch.weight) + penalty(params.w, l2)

    return objective


def mean_loss_of_many(loss: Callable) -> Callable:
    """``mean_loss(loss)`` of linear models that share x and differ in weights, as folds do.

    The weight of an example meets its outputs, so that x is not written anew for every model, and
    absent ones get what a sum over devices can tell, the largest of the others. What is no number
    in x is read as 0: to refuse it where it has weight is the caller's part.
    """

    def fill(weight, rows):
        if weight is None:
            return rows
        least = -jnp.inf if jnp.issubdtype(rows.dtype, jnp.floating) else 0
        largest = jnp.max(where_present(weight, jax.lax.stop_gradient(rows), least), axis=0)
        return where_present(weight, rows, jnp.where(jnp.isfinite(largest), largest, 0))

    def objective(params, batch: Batch, l2=0.0):
        x, y, weight = batch
        if weight is not None and x.dtype != jnp.uint8:
            x = jnp.where(jnp.isfinite(x), x, 0)
        outputs = jax.vmap(affine, (None, 0))(params, x)
        each = jax.vmap(loss)(fill(weight, outputs), fill(weight, y))
        return weighted_mean(each, weight) + penalties.l2(params.w, l2)

    return objective


def stationarity(loss: Callable, intercept: bool, params, data):
    """The gradient of the objective at ``data`` = (batch, l2), whose root is the optimum.

    Without intercept b is held at 0, and is its own gradient.
    """
    batch, l2 = data

    def objective(params):
        held = params if intercept else params._replace(b=jnp.zeros_like(params.b))
        return mean_loss(loss)(held, batch, l2)

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


def where_present(weight, rows, otherwise=0):
    """The rows (n, …) whose weight is not 0, and ``otherwise`` in the place of the others."""
    if weight is None:
        return rows
    return jnp.where((weight != 0).reshape(-1, *[1] * (rows.ndim - 1)), rows, otherwise)


def blank_absent(batch: Batch) -> Batch:
    """Overwrite examples of weight 0: a NaN times 0 is NaN, in the value and in the gradient.

    They become copies of an example that is present, so that even a loss that is not defined
    at zero is finite there.
    """
    if batch.weight is None:
        return batch
    x, y = jax.tree.map(functools.partial(blank, batch.weight), (batch.x, batch.y))
    return batch._replace(x=x, y=y)


def blank(weight, rows):
    """The rows (n, …), where those of weight 0 are copies of one that is present."""
    if weight is None or rows.dtype == jnp.uint8:
        return rows  # bytes are always finite, and a copy of the images is not free
    present = weight != 0
    first = jnp.argmax(present)
    return where_present(weight, rows, jnp.where(present[first], rows[first], 0))
