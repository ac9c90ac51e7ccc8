"""The objective: the weighted mean loss over a batch, by ``vmap``, plus the penalty."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxlinear.model import penalties
from jaxlinear.model.affine import affine
from jaxlinear.rows.absent import readable, weighted_mean, where_present
from jaxlinear.types import Batch


def mean_loss(
    loss: Callable,
    model: Callable = affine,
    penalty: Callable = penalties.l2,
    *,
    minibatch: bool = False,
) -> Callable:
    """Make ``objective(params, batch, l2=0.)``: Σ_i w_i loss(o_i, y_i) / Σ_i w_i + l2/2 ‖w‖².

    ``loss(o, y)`` and ``model(params, x)`` are written for one example. An example of weight 0
    has no effect on the value and the gradients; the derivative in its weight says how it would
    change the value, and is 0 if it holds NaN or inf. Where all weights are 0 the objective is
    the penalty. Models that share x and differ in weights, as folds do, make no copies of x.

    ``minibatch=True`` is for a minibatch of data whose weights have mean 1 over all examples, as
    ``weight / weight.mean()``: it divides by the number m of examples in the minibatch instead of
    Σ_i w_i, for an unbiased estimate of the objective over all data. Divided by their own sum,
    weights would count less the smaller the minibatch, and not at all in one of a single example.

    >>> from jaxlinear import losses, zeros
    >>> objective = mean_loss(jl.losses.softmax_cross_entropy)
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
    """The gradient of the objective for ``data`` = (batch, l2): it is 0 at the optimum.

    Without an intercept b is held at 0, and its gradient is replaced by b itself, whose root is 0.
    """
    batch, l2 = data

    def objective(params):
        held = params if intercept else params._replace(b=jnp.zeros_like(params.b))
        return mean_loss(loss, penalty=penalty)(held, batch, l2)

    with jax.default_matmul_precision("highest"):
        gradient = jax.grad(objective)(params)
    return gradient if intercept else gradient._replace(b=params.b)


class Target(NamedTuple):
    """What a loss takes besides the outputs: y, and an offset added to the outputs, or None."""

    y: Shaped[Array, "n *k"]
    offset: Float[Array, "n *k"] | None


def with_target(batch: Batch, offset) -> Batch:
    """The batch whose y is the ``Target`` that ``with_offset`` expects."""
    return batch._replace(y=Target(batch.y, offset))


def with_offset(loss: Callable) -> Callable:
    """``loss(o + offset, y)`` as a function of o and a ``Target``."""

    def shifted(o, target: Target):
        return loss(o if target.offset is None else o + target.offset, target.y)

    return shifted


def of_vector(loss: Callable, shape: tuple[int, ...]) -> Callable:
    """``with_offset(loss)`` for outputs (k,), with k = 1 where the model has outputs ()."""
    shifted = with_offset(loss)
    return lambda o, target: shifted(o.reshape(shape), target)


def each_loss(loss: Callable, outputs, y, weight):
    """The losses (n,) and weights; both are constant 0 where a row of weight 0 has no finite loss.

    In such a row exp(o) may overflow or y be invalid, and 0 · inf is NaN. The loss is computed from
    the maximum of the outputs and targets of all other rows instead: a reduction over devices.
    """
    each = jax.vmap(loss)
    if weight is None:
        return each(outputs, y), None
    lost = ~jnp.isfinite(each(*jax.lax.stop_gradient((outputs, y)))) & (weight == 0)

    def fill(rows):
        least = -jnp.inf if jnp.issubdtype(rows.dtype, jnp.floating) else 0
        largest = jnp.max(where_present(weight, jax.lax.stop_gradient(rows), least), axis=0)
        return where_present(~lost, rows, jnp.where(jnp.isfinite(largest), largest, 0))

    values = each(*jax.tree.map(fill, (outputs, y)))  # maxima of one-hot rows are no target
    return jnp.where(lost, 0, values), jnp.where(lost, 0, weight)


def _mean(minibatch: bool) -> Callable:
    return estimated_mean if minibatch else weighted_mean


def estimated_mean(values, weight=None):
    """Σ_i w_i v_i / m for a minibatch of m examples of data whose weights have mean 1."""
    if weight is None:
        return jnp.mean(values, axis=0)
    weighted = jnp.tensordot(weight, values.astype(weight.dtype), axes=1)
    return (weighted / len(values)).astype(values.dtype)
