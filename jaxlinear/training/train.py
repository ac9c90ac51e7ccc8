"""Training as nested scans: a step, an epoch of steps, a run of epochs, all one program.

``step`` is the update of d2l 3.4 for any objective and any optimizer with optax's protocol, for
use in a Python loop and in the compiled ``run``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jaxlinear.rows import blocks
from jaxlinear.rows.absent import weighted_mean
from jaxlinear.rows.order import epoch_order, in_batches
from jaxlinear.training import progress
from jaxlinear.types import Batch

__all__ = [
    "Model",
    "Patience",
    "begin",
    "epoch",
    "first_epoch",
    "full_gradient",
    "run",
    "scan_batches",
    "step",
]

_ROWS = 256  # per block: intermediate results of hundreds of models stay in the cache
Metrics = dict[str, Float[Array, ""]]
Curves = dict[str, Float[Array, " epochs"]]


class Model(NamedTuple):
    """What a step changes: parameters, optimizer state, and the number of updates so far."""

    params: PyTree
    state: Any
    steps: Int[Array, ""]


class Patience(NamedTuple):
    """Early stopping: the best model so far, its validation loss, and the epochs since then."""

    best: Model
    loss: Float[Array, ""]
    waited: Int[Array, ""]


def step(objective: Callable, optimizer: optax.GradientTransformation) -> Callable:
    """Make ``(params, state, batch, l2=0.) -> (params, state, value)``: one minibatch update.

    For a loop over weighted minibatches, scale the weights to mean 1 over all data and use
    ``mean_loss(loss, minibatch=True)`` as the objective. The loop then does what ``sgd_fit``
    does, and ends at the optimum of the weighted objective for minibatches of any size.
    """

    def update(params, state, batch: Batch, l2=0.0):
        value, gradient = jax.value_and_grad(objective)(params, batch, l2)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    return update


def scan_batches(visit: Callable, carry, batch: Batch, order: Int[Array, "*shards m"], size: int):
    """Scan ``visit(carry, minibatch) -> carry, value`` over ``batch[order]``, ``size`` at a time.

    Returns the carry and the mean of the values, weighted by the numbers of examples. A smaller
    last minibatch keeps a shape of its own: padding it would put weights into every step.
    """

    def visit_one(carry, index):
        minibatch = blocks.take(batch, index)
        carry, value = visit(carry, minibatch)
        value = value.astype(jnp.promote_types(value.dtype, jnp.float32))
        return carry, (value, jnp.asarray(len(minibatch.x), value.dtype))

    full, ragged = in_batches(order, size)
    carry, means = jax.lax.scan(visit_one, carry, full)
    if ragged.size:
        carry, last = visit_one(carry, ragged)
        means = jax.tree.map(jnp.append, means, last)
    return carry, weighted_mean(*means)


def _total_weight(batch: Batch) -> Float[Array, ""]:
    return jnp.float32(len(batch.x)) if batch.weight is None else jnp.sum(batch.weight)


def full_gradient(objective: Callable, params: PyTree, batch: Batch, l2, *, shards: int = 1):
    """The objective over a whole batch and its gradient, a few hundred examples at a time.

    uint8 is scaled, and outputs are computed, block by block: memory does not grow with n.
    """
    n = len(batch.x) // shards
    size = min(n, -(-_ROWS // shards))
    if n == size:
        return jax.value_and_grad(objective)(_wide(params), batch, l2)
    everything = jnp.maximum(_total_weight(batch), jnp.finfo(jnp.float32).tiny)

    def add(sums, first, size=size):
        part = blocks.consecutive(batch, first, size, shards=shards)
        share = _total_weight(part) / everything
        terms = jax.value_and_grad(objective)(params, part, l2)
        return jax.tree.map(lambda s, t: s + share * t.astype(s.dtype), sums, terms)

    wide = jax.tree.map(jnp.zeros_like, _wide(params))
    zero = jnp.zeros((), jnp.result_type(*jax.tree.leaves(wide)))
    ragged = n % size
    sums, _ = jax.lax.scan(
        lambda sums, first: (add(sums, first), None),
        (zero, wide),
        jnp.arange(0, n - ragged, size),
    )
    return add(sums, n - ragged, ragged) if ragged else sums


def _wide(params: PyTree) -> PyTree:
    """In float32 at least: half precision is too coarse for sums over many examples."""
    return jax.tree.map(lambda p: p.astype(jnp.promote_types(p.dtype, jnp.float32)), params)


def epoch(
    update: Callable,
    batch: Batch,
    *,
    key: PRNGKeyArray,
    size: int,
    drop_last: bool = False,
    shards: int = 1,
    evaluate: Callable[[PyTree], Metrics] | None = None,
    patience: Int[Array, ""] | None = None,
    listener: Int[Array, ""] | None = None,
) -> Callable:
    """Make ``(model, watch), number -> (model, watch), (objective, metrics)``: an epoch of steps.

    It visits the examples in the order of ``fold_in(key, number)``. Once ``patience`` has run out
    it leaves the model as it is, and the objective and the metrics are NaN.
    """
    n = len(batch.x)

    def visit(model, minibatch):
        params, state, value = update(model.params, model.state, minibatch)
        return Model(params, state, model.steps + 1), value

    def train(model, number):
        if size == n:  # all examples at once: their order does not matter
            model, mean = visit(model, batch)
        else:
            key_of_epoch = jax.random.fold_in(key, number)
            order = epoch_order(key_of_epoch, n, size, drop_last=drop_last, shards=shards)
            model, mean = scan_batches(visit, model, batch, order, size)
        return model, mean, evaluate(model.params) if evaluate else None

    def one(carry, number):
        model, watch = carry
        stopped = jnp.array(False)
        if patience is None:
            model, mean, metrics = train(model, number)
        else:
            stopped = watch.waited >= patience
            _, *reports = jax.eval_shape(train, model, number)
            nothing = jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), reports)
            model, mean, metrics = jax.lax.cond(
                stopped, lambda: (model, *nothing), lambda: train(model, number)
            )
            watch = _look(watch, model, metrics["loss"])
        if listener is not None:
            progress.tell(listener, number, stopped, mean, metrics)
        return (model, watch), (mean, metrics)

    return one


def begin(model: Model, evaluate: Callable | None, patience) -> tuple[Model, Patience | None]:
    """What the first epoch is given: the model, and a watch where there is patience."""
    if patience is None:
        return model, None
    loss = jax.eval_shape(evaluate, model.params)["loss"]
    worst = jnp.full(loss.shape, jnp.inf, loss.dtype)  # any finite loss is better
    return model, Patience(model, worst, jnp.int32(0))


def first_epoch(model: Model, n: int, size: int, drop_last: bool) -> Int[Array, ""]:
    """The number of the next epoch, which continues the count of the steps of the model."""
    return model.steps // (n // size if drop_last else -(-n // size))


def run(
    update: Callable,
    model: Model,
    batch: Batch,
    *,
    key: PRNGKeyArray,
    size: int,
    epochs: int,
    drop_last: bool = False,
    shards: int = 1,
    evaluate: Callable[[PyTree], Metrics] | None = None,
    patience: Int[Array, ""] | None = None,
    listener: Int[Array, ""] | None = None,
) -> tuple[Model, Float[Array, " epochs"], Curves | None, Patience | None]:
    """Train for ``epochs``; return the model, the history, the metrics by epoch, the ``Patience``.

    Every epoch has the order of ``fold_in(key, epoch)``, where the epoch is derived from
    ``model.steps``: a run in two parts equals the run in one. ``patience`` stops after that many
    epochs in a row whose metric "loss" was no better; the model returned is then the best one.
    ``shards``: every minibatch has an equal part from each of this many blocks of rows.
    """
    one = epoch(
        update,
        batch,
        key=key,
        size=size,
        drop_last=drop_last,
        shards=shards,
        evaluate=evaluate,
        patience=patience,
        listener=listener,
    )
    numbers = first_epoch(model, len(batch.x), size, drop_last) + jnp.arange(epochs)
    carry, (history, metrics) = jax.lax.scan(one, begin(model, evaluate, patience), numbers)
    model, watch = carry
    return model if watch is None else watch.best, history, metrics, watch


def _look(watch: Patience, model: Model, loss: Float[Array, ""]) -> Patience:
    """Keep the model if its validation loss is the best so far. NaN is never better."""
    better = loss < watch.loss
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), model, watch.best)
    loss = jnp.where(better, loss, watch.loss)
    return Patience(best, loss, jnp.where(better, 0, watch.waited + 1))
