"""Rows of weight 0 have no effect on values and gradients, even if they hold NaN or inf."""

import functools

import jax
import jax.numpy as jnp

from jaxlinear.types import Rows


def power_of_two(size):
    """The largest power of two ≤ ``size``, a divisor that rounds nothing; 1 unless 0 < size < ∞."""
    size = jnp.where(jnp.isfinite(size) & (size > 0), size, 1)
    _, exponent = jnp.frexp(size)
    return jnp.ldexp(jnp.ones_like(size), exponent - 1)


def relative(weight):
    """Weights divided by the largest power of two ≤ their maximum, which rounds nothing.

    Every objective divides by their sum, which then neither overflows nor underflows.
    """
    if weight is None:
        return None
    return weight / power_of_two(jnp.max(jax.lax.stop_gradient(weight)))


def readable(batch: Rows) -> Rows:
    """The batch with 0 in place of NaN and inf, since NaN times 0 is NaN.

    The weight of a row with NaN or inf becomes a constant: 0 if it was 0, else NaN, which makes
    every result NaN. The new x does not depend on the weights, so that many models can share it.
    Without weights the batch is returned as it is.
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
        return rows  # always finite, and a copy of images is costly
    return jnp.where(jnp.isfinite(rows), rows, 0)


def where_present(weight, rows, otherwise=0):
    """The rows (n, …) whose weight is not 0, and ``otherwise`` in the place of the others."""
    if weight is None:
        return rows
    return jnp.where((weight != 0).reshape(-1, *[1] * (rows.ndim - 1)), rows, otherwise)


def blank(weight, rows):
    """The rows (n, …), with those of weight 0 replaced by copies of one of nonzero weight.

    Even a loss that is not defined at zero is then finite, whatever these rows hold.
    """
    if weight is None or rows.dtype == jnp.uint8:
        return rows  # bytes are always finite
    present = weight != 0
    first = jnp.argmax(present)
    return where_present(weight, rows, jnp.where(present[first], rows[first], 0))


def ones_or(weight, n: int, dtype):
    """The weights (n,) in a dtype; for None n ones, which a barrier hides from the compiler.

    It would evaluate sums and searches over constant ones itself: a minute for a million ones.
    """
    if weight is not None:
        return weight.astype(dtype)
    return jnp.broadcast_to(jax.lax.optimization_barrier(jnp.ones((), dtype)), (n,))


def weighted_mean(values, weight=None):
    """Σ_i w_i v_i / Σ_i w_i over the first axis; 0 where no example has weight."""
    if weight is None:
        return jnp.mean(values, axis=0)
    weight = relative(weight)
    total = jnp.sum(weight)
    weighted = jnp.tensordot(weight, values.astype(weight.dtype), axes=1)
    return (weighted / jnp.where(total == 0, 1, total)).astype(values.dtype)


def of_mean_one(weight):
    """The weights divided by their mean, without overflow; 0 where all are 0."""
    if weight is None:
        return None
    weight = relative(weight)
    mean = jnp.mean(weight)
    return weight / jnp.where(mean == 0, 1, mean)


def times_root_weight(weight, rows):
    """√w times the rows; 0 for rows of weight 0, in gradients too."""
    if weight is None:
        return rows
    present = weight > 0
    root = jnp.where(present, jnp.sqrt(jnp.where(present, weight, 1)), 0).astype(rows.dtype)
    return root[:, None] * rows
