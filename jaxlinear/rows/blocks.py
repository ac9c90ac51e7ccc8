"""Parts of a batch: blocks of consecutive rows, rows by index, rows by device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Int

from jaxlinear import checks
from jaxlinear.types import Batch, Rows


def of_rows(function: Callable, batch: Rows) -> Rows:
    """The batch with ``function`` applied to x, y and weight, the arrays with a row per example."""
    rows = {name: getattr(batch, name) for name in Batch._fields}
    return batch._replace(**jax.tree.map(function, rows))


def take(batch: Rows, index: Int[Array, "*shards size"]) -> Rows:
    """The minibatch ``batch[index]``; indices have to be in bounds, as in a permutation.

    In indices (shards, size) each row counts from the first row of its own shard, so that no
    device reads rows of another.
    """

    def of(rows, index):
        return rows.at[index].get(mode="promise_in_bounds")

    def of_shards(rows):
        split = rows.reshape(len(index), -1, *rows.shape[1:])
        return jax.vmap(of)(split, index).reshape(-1, *rows.shape[1:])

    return of_rows(lambda rows: of(rows, index) if index.ndim == 1 else of_shards(rows), batch)


def consecutive(batch: Rows, first, size: int, *, shards: int = 1) -> Rows:
    """``size`` rows of each of so many shards, from number ``first`` of each on."""

    def of(rows):
        split = rows.reshape(shards, len(rows) // shards, *rows.shape[1:])
        part = jax.lax.dynamic_slice_in_dim(split, first, size, axis=1)
        return part.reshape(shards * size, *rows.shape[1:])

    return of_rows(of, batch)


def fold(start: Callable, visit: Callable, batch: Rows, size: int, *, shards: int = 1):
    """``visit(carry, block)`` over blocks of consecutive rows, from ``start(first block)``.

    Intermediate results have the size of a block; the last block may be smaller. A block has
    ``size`` rows of each of the ``shards``, so that no device reads rows of another.
    """
    n = len(batch.x) // shards

    def block(first, size=size):
        return consecutive(batch, first, size, shards=shards)

    if n <= size:
        return start(batch)
    carry, _ = jax.lax.scan(
        lambda carry, number: (visit(carry, block(number * size)), None),
        start(block(0)),
        jnp.arange(1, n // size),
    )
    ragged = n % size
    return visit(carry, block(n - ragged, ragged)) if ragged else carry


def rows_in_cache(columns: int, numbers: int, *, least: int = 1, most: int = 2**62) -> int:
    """The number of rows in a block of about ``numbers`` entries, which the cache of a CPU holds.

    It is between ``least`` and ``most``; on an accelerator, without such a cache, it is ``most``.
    """
    if jax.default_backend() != "cpu":
        return most
    return min(max(numbers // columns, least), most)


def shards_of(x) -> int:
    """The number of parts in which the rows of x are spread over devices; 1 if not known."""
    layout = None if checks.is_traced(x) else getattr(x, "sharding", None)
    if not isinstance(layout, NamedSharding) or not layout.spec or layout.spec[0] is None:
        return 1
    names = layout.spec[0] if isinstance(layout.spec[0], tuple) else (layout.spec[0],)
    return int(np.prod([layout.mesh.shape[name] for name in names]))
