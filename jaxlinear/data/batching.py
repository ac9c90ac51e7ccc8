"""Minibatches for loops in Python."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from jaxlinear import checks
from jaxlinear.rows import blocks
from jaxlinear.rows.order import epoch_order
from jaxlinear.types import Batch

_take = jax.jit(blocks.take)


def batches(
    key: PRNGKeyArray, batch: Batch, size: int, *, drop_last: bool = False
) -> Iterator[Batch]:
    """Iterate over minibatches of ``size`` in a fresh order, for loops in Python (d2l 3.3).

    The last minibatch may be smaller (``drop_last=True`` leaves it out). With
    ``jax.random.fold_in(key, epoch)`` as key these are the minibatches of ``sgd_fit``. Weights
    are not changed; for gradient steps they must have mean 1 over all of ``batch`` (see
    ``train.step``). torch's ``DataLoader(shuffle=True)``.

    >>> batch = Batch(jnp.arange(10.0)[:, None], jnp.arange(10))
    >>> [len(part.x) for part in batches(jax.random.key(0), batch, 4)]
    [4, 4, 2]
    """
    batch = jax.tree.map(jnp.asarray, checks.stored(batch))
    n = len(batch.x)
    size = min(checks.count(size, "size"), n)
    order = epoch_order(key, n, size, drop_last=drop_last)
    return (_take(batch, order[i : i + size]) for i in range(0, len(order), size))
