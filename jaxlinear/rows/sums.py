"""Sums of many numbers that keep their digits: in blocks, and blocks of blocks.

A sum of 100,000 float32 numbers one after another is right to four digits, where the sum has grown
so large that every addition is rounded. In a sum of sums of 64, no number meets more than a few
roundings (Higham, "Accuracy and stability of numerical algorithms", 2002, 4.2).
"""

import jax.numpy as jnp

from jaxlinear.rows.absent import relative

_BLOCK = 64


def accurate_sum(values):
    """Σ_i v_i over the first axis. Products with ones: the compiler would join sums of sums."""
    while len(values) > 1:
        ones = jnp.ones(min(len(values), _BLOCK), values.dtype)
        values = jnp.einsum("bi...,i->b...", _in_blocks(values), ones, precision="highest")
    return values[0]


def accurate_mean(values, weight=None):
    """Σ_i w_i v_i / Σ_i w_i over the first axis; 0 where no example has weight."""
    if weight is None:
        return accurate_sum(values) / len(values)
    weight = relative(weight)
    total = accurate_sum(weight)
    each = weight.reshape(-1, *[1] * (values.ndim - 1)) * values.astype(weight.dtype)
    return (accurate_sum(each) / jnp.where(total == 0, 1, total)).astype(values.dtype)


def cumulative_sum(values):
    """Σ_{j ≤ i} v_j of numbers (n,)."""
    n = len(values)
    if n <= _BLOCK:
        return jnp.cumsum(values)
    inside = jnp.cumsum(_in_blocks(values), axis=1)
    before = jnp.concatenate([jnp.zeros(1, values.dtype), cumulative_sum(inside[:-1, -1])])
    return (before[:, None] + inside).reshape(-1)[:n]


def _in_blocks(values):
    """The rows (n, …) as (blocks, size, …), filled up with zeros."""
    n = len(values)
    size = min(n, _BLOCK)
    rest = [(0, 0)] * (values.ndim - 1)
    return jnp.pad(values, [(0, -n % size), *rest]).reshape(-1, size, *values.shape[1:])
