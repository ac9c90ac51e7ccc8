"""Minibatch SGD over rows that no memory holds, in an order as random as their source allows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from jaxlinear import checks
from jaxlinear.endings import first_true
from jaxlinear.linalg.products import norm_of_tree
from jaxlinear.model.declaration import target_of
from jaxlinear.model.objective import mean_loss
from jaxlinear.rows import blocks
from jaxlinear.rows.order import permutation
from jaxlinear.rows.stream import Passes, added, in_pairs
from jaxlinear.training import train
from jaxlinear.training.fit import outputs_of, require_one_momentum, start_at
from jaxlinear.training.program import bound, resumed
from jaxlinear.training.static import Optimizer
from jaxlinear.types import Batch, Fit, Linear, Report, Status


def sgd_fit(
    loss: Callable,
    stream,
    *,
    key: PRNGKeyArray,
    lr,
    l2=0.0,
    momentum=0.0,
    batch_size: int = 256,
    epochs: int = 10,
    init: Linear | Fit | None = None,
    optimizer: Optimizer | None = None,
    outputs: int | None = None,
) -> Fit:
    """``jl.sgd_fit`` of the rows of a stream, in memory that does not grow with them.

    Each block is shuffled as it comes, and so are the blocks, where the source lets them be read
    in any order: arrays and .npy files do, other files and functions come in their own order. A
    larger ``size`` of the stream mixes more rows. Where rows are sorted, as by class, and the
    blocks cannot be shuffled, shuffle the source once.

    A first pass checks all rows; every epoch is a pass, and so is the report. The arguments are
    those of ``jl.sgd_fit``; the minibatches of an epoch, the last of which may be smaller, are
    those of its blocks, one block after another.

    >>> batch = jl.data.synthetic_regression(jax.random.key(0), 1000, [2, -3.4], 4.2)
    >>> fit = sgd_fit(jl.losses.squared_error, batch, key=jax.random.key(1), lr=0.1)
    >>> print(fit.params.b.round(1), fit.report.steps, jl.Status(int(fit.report.status)).name)
    4.1 40 MAX_STEPS
    """
    require_one_momentum(optimizer, momentum)
    kind, size = target_of(loss), checks.count(batch_size, "batch_size")
    passes = Passes(stream, kind, outputs_of(outputs, init))
    weight = in_pairs(jnp.add, (jnp.sum(block.weight) for block in passes))
    size = min(size, passes.rows)
    passes.size = -(-passes.size // size) * size
    model = start_at(init, passes.x, passes.shape)
    dtype = model.params.w.dtype
    numbers = Numbers(
        checks.number(lr, "lr", dtype),
        checks.number(l2, "l2", dtype, shape=passes.shape),
        checks.number(momentum, "momentum", dtype, below=1.0),
        weight / passes.rows,
    )
    numbers = jax.tree.map(jnp.asarray, numbers)
    static = Static(loss, optimizer, size)
    state = resumed(bound(optimizer, numbers.lr, numbers.momentum), model.params, model.state)
    model = model._replace(state=state)
    first, history = int(model.steps) // -(-passes.rows // size), []
    for epoch in range(first, first + checks.count(epochs, "epochs")):
        key_of_epoch, total = jax.random.fold_in(key, epoch), 0.0
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key_of_epoch)).ravel())
        for number, block in enumerate(passes.shuffled(rng)):
            key_of_block = jax.random.fold_in(key_of_epoch, number)
            model, part = _train(static, numbers, model, block, key_of_block)
            total += float(part)
        history.append(total / passes.rows)
    parts = (_objective(loss, model.params, numbers.l2, block, weight) for block in passes)
    value, gradient = in_pairs(added, parts)
    norm = norm_of_tree(gradient)
    status = first_true({Status.DIVERGED: ~jnp.isfinite(value + norm)}, Status.MAX_STEPS)
    report = Report(status, model.steps, value, norm)
    return Fit(model.params, report, jnp.asarray(history, value.dtype), None, model.state)


class Static(NamedTuple):
    """What is known before tracing; ``size`` is that of a minibatch."""

    loss: Callable
    optimizer: Optimizer | None
    size: int


class Numbers(NamedTuple):
    """Numbers of all steps; ``mean_weight`` is that of the rows of the stream."""

    lr: Float[ArrayLike, ""]
    l2: Float[ArrayLike, "*k"]
    momentum: Float[ArrayLike, ""]
    mean_weight: Float[Array, ""]


@functools.partial(jax.jit, static_argnums=0)
def _train(static: Static, numbers: Numbers, model: train.Model, block: Batch, key):
    """The model after the minibatches of a block, and the sum of their objectives by rows."""
    optimizer = bound(static.optimizer, numbers.lr, numbers.momentum)
    update = train.step(mean_loss(static.loss, minibatch=True), optimizer)

    def visit(carry, index):
        model, total = carry
        minibatch = blocks.take(block, index)
        rows = jnp.sum(minibatch.weight > 0)
        # Rows that fill up a block do not count in the mean over a minibatch.
        weight = minibatch.weight / numbers.mean_weight * (static.size / jnp.maximum(rows, 1))
        minibatch = minibatch._replace(weight=weight)
        params, state, value = update(model.params, model.state, minibatch, numbers.l2)
        new = train.Model(params, state, model.steps + 1)
        model = jax.tree.map(lambda new, old: jnp.where(rows > 0, new, old), new, model)
        return (model, total + jnp.where(rows > 0, rows * value, 0)), None

    order = _last(block.weight == 0, permutation(key, len(block.x)))
    start = model, jnp.zeros((), jnp.promote_types(model.params.b.dtype, jnp.float32))
    return jax.lax.scan(visit, start, order.reshape(-1, static.size))[0]


def _last(absent, order):
    """The order with those that are absent at its end."""
    behind = absent[order]
    before = jnp.cumsum(~behind)
    place = jnp.where(behind, before[-1] + jnp.cumsum(behind), before) - 1
    return order.at[place].set(order)


@functools.partial(jax.jit, static_argnums=0)
def _objective(loss: Callable, params: Linear, l2, block: Batch, weight):
    """The part of a block in the objective and in its gradient."""
    share = jnp.sum(block.weight) / weight
    found = train.full_gradient(mean_loss(loss), params, block, l2)
    return jax.tree.map(lambda leaf: share * leaf, found)
