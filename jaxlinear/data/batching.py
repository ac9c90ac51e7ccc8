"""Minibatches in a fresh order: a permutation that costs nothing, and an iterator over it."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

from jaxlinear import _checks
from jaxlinear.types import Batch

_SORTED = 4096  # up to here sorting random bits is as quick as hashing
_ROUNDS = 6


def permutation(key: PRNGKeyArray, n: int) -> Int[Array, " n"]:
    """A random permutation of 0 … n-1.

    A short one sorts random bits (``jax.random.permutation``). A long one encrypts the positions
    with a keyed bijection, where sorting would take longer than an epoch's arithmetic: a Feistel
    network on ⌈log2 n⌉ bits, applied again to what falls outside (cycle walking), as in Black and
    Rogaway, "Ciphers with arbitrary finite domains", 2002.
    """
    if n <= _SORTED:
        return jax.random.permutation(key, n)
    bits = (n - 1).bit_length()
    keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)

    def walk(position):
        return jnp.where(position < n, position, _feistel(position, keys, bits))

    positions = _feistel(jnp.arange(n, dtype=jnp.uint32), keys, bits)
    return jax.lax.while_loop(lambda p: jnp.any(p >= n), walk, positions).astype(jnp.int32)


def _feistel(value: UInt32[Array, " n"], keys: UInt32[Array, " r"], bits: int):
    """A bijection on ``bits`` bits: (left, right) ← (right, left ⊕ hash(right, key)), again."""
    widths = (bits - bits // 2, bits // 2)
    left, right = value >> widths[1], value & ((1 << widths[1]) - 1)
    for key in keys:
        left, right = right, (left ^ _hash(right ^ key)) & ((1 << widths[0]) - 1)
        widths = widths[::-1]
    return (left << widths[1]) | right


def _hash(h: UInt32[Array, " n"]) -> UInt32[Array, " n"]:
    """Mix 32 bits so that each depends on all (lowbias32 of Wellons' hash prospector)."""
    h = (h ^ (h >> 16)) * jnp.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * jnp.uint32(0x846CA68B)
    return h ^ (h >> 16)


def epoch_order(key: PRNGKeyArray, n: int, size: int, *, drop_last: bool = False):
    """The order of one epoch, without the last ragged minibatch where that is dropped."""
    return permutation(key, n)[: n - n % size if drop_last else n]


def take(batch: Batch, index: Int[Array, " size"]) -> Batch:
    """The minibatch ``batch[index]``; the indices of a permutation are in bounds."""
    return jax.tree.map(lambda rows: rows.at[index].get(mode="promise_in_bounds"), batch)


_take = jax.jit(take)


def batches(
    key: PRNGKeyArray, batch: Batch, size: int, *, drop_last: bool = False
) -> Iterator[Batch]:
    """Iterate over minibatches of ``size`` in a fresh order, for loops in Python (d2l 3.3).

    A ragged last minibatch is smaller (``drop_last=True`` leaves it out). With
    ``jax.random.fold_in(key, epoch)`` as key these are the minibatches of ``sgd_fit``. torch's
    ``DataLoader(shuffle=True)``.

    >>> batch = Batch(jnp.arange(10.0)[:, None], jnp.arange(10))
    >>> [len(part.x) for part in batches(jax.random.key(0), batch, 4)]
    [4, 4, 2]
    """
    n = len(batch.x)
    size = min(_checks.count(size, "size"), n)
    batch = jax.tree.map(jnp.asarray, batch)
    order = epoch_order(key, n, size, drop_last=drop_last)
    return (_take(batch, order[i : i + size]) for i in range(0, len(order), size))
