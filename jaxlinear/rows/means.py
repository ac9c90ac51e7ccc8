"""Rows as floating-point numbers, and their means, accurate to the last digit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.rows import blocks
from jaxlinear.rows.absent import readable, weighted_mean
from jaxlinear.types import Examples, Rows


def floating_dtype(x):
    """The dtype in which the sums over x are taken: half precision is widened."""
    dtype = jnp.result_type(float) if x.dtype == jnp.uint8 else x.dtype
    return jnp.promote_types(dtype, jnp.float32)


def floating(x):
    """x in ``floating_dtype(x)``, with uint8 scaled to [0, 1]."""
    return (
        x.astype(floating_dtype(x)) / 255 if x.dtype == jnp.uint8 else x.astype(floating_dtype(x))
    )


def rows_of(batch: Rows, name: str, row=slice(None)):
    """The rows of x or y, or only ``row``, as floats, divided by their units in ``Examples``."""
    rows = floating(getattr(batch, name)[row])
    if not isinstance(batch, Examples):
        return rows
    unit = getattr(batch.units, name).astype(rows.dtype)
    return rows / jnp.broadcast_to(unit, rows.shape)


def away_from(batch: Rows, name: str, center):
    """The rows of x, or of y (n, k), minus a center."""
    return rows_of(batch, name).astype(center.dtype) - center[None]


class Means(NamedTuple):
    """The means of x and y."""

    x: Float[Array, " d"]
    y: Float[Array, " k"]


def mean_of_rows(batch: Rows, name: str):
    """The mean of x, or of y: a guess plus the mean difference to it, right to the last digit."""
    guess = guess_of_mean(batch, name)
    batch = readable(batch)
    return guess + weighted_mean(away_from(batch, name, guess), batch.weight)


def guess_of_means(batch: Rows) -> Means:
    """The means of up to 1024 evenly spaced rows of the batch."""
    return Means(guess_of_mean(batch, "x"), guess_of_mean(batch, "y"))


def guess_of_mean(batch: Rows, name: str, most: int = 1024):
    """The mean of up to ``most`` evenly spaced rows.

    It is one row plus the mean difference to it: for a constant column, exactly the constant.
    """
    sample = sample_of(batch, most)
    first = 0 if batch.weight is None else jnp.argmax(batch.weight != 0)
    base = rows_of(jax.lax.stop_gradient(batch), name, first).astype(floating_dtype(batch.x))
    if batch.weight is not None:
        base = jnp.where(jax.lax.stop_gradient(batch.weight)[first] != 0, base, 0)
    return base + weighted_mean(away_from(sample, name, base), sample.weight)


def sample_of(batch: Rows, most: int = 1024) -> Rows:
    """Up to ``most`` evenly spaced rows of the batch, without derivatives."""
    step = -(-len(batch.x) // most)
    return readable(blocks.of_rows(lambda rows: jax.lax.stop_gradient(rows)[::step], batch))
