"""Permutations that are permutations and mix, and minibatches that cover an epoch."""

import itertools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.rows import order
from jaxlinear.rows.order import permutation

SIZES = [1, 2, 3, 5, 8, 9, 64, 1000, 4096, 4097, 60_000]
HASHED = 5000


def permutations(n, count):
    keys = jax.random.split(jax.random.key(1), count)
    return np.asarray(jax.jit(jax.vmap(lambda key: order.permutation(key, n)))(keys))


@pytest.mark.parametrize("n", SIZES)
def test_every_index_once(n, key):
    order = permutation(key, n)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def chi_square(counts):
    """Wilson and Hilferty's normal score of Pearson's χ² against equal counts."""
    expected, freedom = counts.mean(), counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    return ((statistic / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / np.sqrt(2 / (9 * freedom))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_short_permutations_are_all_equally_likely(n):
    orders = permutations(n, 20_000)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == math.factorial(n)
    assert chi_square(counts) < 4 if n > 2 else abs(counts[0] - 10_000) < 400


@pytest.mark.parametrize("n", [8, 9, HASHED, 8192])
def test_positions_are_uniform(n):
    """Where an example lands, over keys: χ² of example block × position block."""
    blocks = n if n < 16 else 8
    orders = permutations(n, 400)
    block = orders * blocks // n
    for example in range(0, blocks):
        # One example per order, so that the counts are independent.
        where = np.argmax(orders == example * n // blocks, axis=1) * blocks // n
        assert abs(chi_square(np.bincount(where, minlength=blocks))) < 4
    for fixed in range(0, n, max(1, n // 8)):
        assert abs(chi_square(np.bincount(block[:, fixed], minlength=blocks))) < 4


def test_neighbours_are_uncorrelated():
    orders = permutations(HASHED, 200) / HASHED - 0.5
    lagged = {lag: np.mean(orders[:, lag:] * orders[:, :-lag]) * 12 for lag in (1, 2, 256, 1024)}
    bound = 4 / np.sqrt(orders.size)
    assert all(abs(value) < bound + 1 / HASHED for value in lagged.values()), lagged
    steps = (np.diff(permutations(HASHED, 200), axis=1) % HASHED) * 16 // HASHED
    assert abs(chi_square(np.bincount(steps.ravel(), minlength=16))) < 4


def test_epochs_are_uncorrelated():
    """Orders of successive epochs of one key: as many agreements as chance gives (one each)."""
    key = jax.random.key(3)
    fold = jax.vmap(lambda epoch: order.permutation(jax.random.fold_in(key, epoch), HASHED))
    orders = np.asarray(jax.jit(fold)(jnp.arange(200)))
    agreements = (orders[1:] == orders[:-1]).sum(axis=1)
    assert agreements.mean() == pytest.approx(1.0, abs=4 / np.sqrt(len(agreements)))
    scaled = orders / HASHED - 0.5
    correlation = 12 * (scaled[1:] * scaled[:-1]).mean(axis=1)
    assert np.abs(correlation).max() < 5 / np.sqrt(HASHED)
    mates = [
        set(map(frozenset, np.sort(order[: HASHED // 2 * 2].reshape(-1, 2))))
        for order in orders[:20]
    ]
    assert all(len(a & b) <= 6 for a, b in itertools.pairwise(mates))


def test_a_hashed_permutation_costs_less_than_sorting(key):
    """What it is for; a lax bound, since the ratio is about 50."""

    def seconds(function):
        compiled = jax.jit(lambda key: function(key, 200_000))
        compiled(key).block_until_ready()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            compiled(key).block_until_ready()
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds(order.permutation) < seconds(jax.random.permutation) / 2


def batch_of(n):
    return jl.Batch(np.arange(n, dtype=np.float32)[:, None], np.arange(n, dtype=np.int32))


@pytest.mark.parametrize(("n", "size"), [(10, 3), (10, 5), (3, 10), (5000, 256)])
def test_batches_cover_the_epoch(n, size, key):
    parts = list(jl.data.batches(key, batch_of(n), size))
    sizes = [len(part.x) for part in parts]
    assert sizes[:-1] == [min(size, n)] * (len(parts) - 1) and sum(sizes) == n
    y = np.concatenate([part.y for part in parts])
    np.testing.assert_array_equal(np.sort(y), np.arange(n))
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts])[:, 0], y)
    assert all(part.weight is None for part in parts)


def test_batches_carry_weights_and_drop_the_last(key):
    batch = batch_of(10)._replace(weight=np.arange(10, dtype=np.float32))
    parts = list(jl.data.batches(key, batch, 4, drop_last=True))
    assert [len(part.x) for part in parts] == [4, 4]
    assert all((part.weight == part.y).all() for part in parts)


def test_another_key_is_another_order(key):
    first, again = (next(jl.data.batches(key, batch_of(100), 50)).y for _ in range(2))
    other = next(jl.data.batches(jax.random.key(1), batch_of(100), 50)).y
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_size_that_is_none_is_refused(key):
    with pytest.raises(ValueError, match="size is 0; expected a whole number"):
        jl.data.batches(key, batch_of(10), 0)
