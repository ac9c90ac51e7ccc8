"""Rows of weight 0 are absent: in values, in gradients, and where they hold no number."""

import functools

import jax
import jax.numpy as jnp

from jaxlinear.types import Rows


def power_of_two(size):
    """The largest one up to ``size``, and 1 for 0 and for what is no number: an exact unit."""
    size = jnp.where(jnp.isfinite(size) & (size > 0), size, 1)
    _, exponent = jnp.frexp(size)
    return jnp.ldexp(jnp.ones_like(size), exponent - 1)


def relative(weight):
    """Weights in the unit of their largest, which is rounded to a power of two: nothing else is.

    Every objective divides by their sum, which neither overflows then nor vanishes.
    """
    if weight is None:
        return None
    return weight / power_of_two(jnp.max(jax.lax.stop_gradient(weight)))


def readable(batch: Rows) -> Rows:
    """The batch, with 0 for what is no number, since NaN times 0 is NaN.

    The weight of such an example stays 0, with no derivative; it is NaN where it was not 0, and
    so is all that is made of it. What becomes of x does not depend on the weights, so that many
    models still share it.
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
        return rows  # a copy of the images is not free
    return jnp.where(jnp.isfinite(rows), rows, 0)


def where_present(weight, rows, otherwise=0):
    """The rows (n, …) whose weight is not 0, and ``otherwise`` in the place of the others."""
    if weight is None:
        return rows
    return jnp.where((weight != 0).reshape(-1, *[1] * (rows.ndim - 1)), rows, otherwise)


def blank(weight, rows):
    """The rows (n, …), where those of weight 0 are copies of one that is present.

    Even a loss that is not defined at zero is then finite, whatever they hold.
    """
    if weight is None or rows.dtype == jnp.uint8:
        return rows  # bytes are always finite
    present = weight != 0
    first = jnp.argmax(present)
    return where_present(weight, rows, jnp.where(present[first], rows[first], 0))


def ones_or(weight, n: int, dtype):
    """The weights (n,) in a dtype; without any, n ones, of which the compiler knows only one.

    Those that it knows it sums and searches itself, for a minute where n is a million.
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
    """The weights over their mean, in whatever unit they come; 0 where all are 0."""
    if weight is None:
        return None
    weight = relative(weight)
    mean = jnp.mean(weight)
    return weight / jnp.where(mean == 0, 1, mean)


def times_root_weight(weight, rows):
    """√w times the rows, 0 where absent, in gradients too."""
    if weight is None:
        return rows
    present = weight > 0
    root = jnp.where(present, jnp.sqrt(jnp.where(present, weight, 1)), 0).astype(rows.dtype)
    return root[:, None] * rows
