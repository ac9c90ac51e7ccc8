"""The rows as floating numbers, and their means, to the last digit."""

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
    """x in that dtype, bytes scaled to [0, 1]."""
    return (
        x.astype(floating_dtype(x)) / 255 if x.dtype == jnp.uint8 else x.astype(floating_dtype(x))
    )


def rows_of(batch: Rows, name: str, row=slice(None)):
    """The rows of x or y, or one of them, floating, and counted in units where they have some."""
    rows = floating(getattr(batch, name)[row])
    if not isinstance(batch, Examples):
        return rows
    unit = getattr(batch.units, name)
    return rows / unit.reshape(*[1] * (rows.ndim - unit.ndim), *unit.shape).astype(rows.dtype)


def away_from(batch: Rows, name: str, center):
    """The rows of x, or of y as (n, k), counted from a center."""
    rows = rows_of(batch, name).astype(center.dtype)
    return rows.reshape(len(rows), -1) - center.reshape(1, -1)


class Means(NamedTuple):
    """The means of x (d,) and y () or (k,)."""

    x: Float[Array, " d"]
    y: Float[Array, "*k"]


def mean_of_rows(batch: Rows, name: str):
    """The mean of x, or of y, counted from a guess: it is right to the last digit."""
    guess = guess_of_mean(batch, name)
    batch = readable(batch)
    away = weighted_mean(away_from(batch, name, guess), batch.weight)
    return guess + away.reshape(guess.shape)


def guess_of_means(batch: Rows) -> Means:
    """The means of some thousand rows throughout the batch."""
    return Means(guess_of_mean(batch, "x"), guess_of_mean(batch, "y"))


def guess_of_mean(batch: Rows, name: str, most: int = 1024):
    """The mean of some thousand rows, or of ``most``.

    Counted from one of the rows: a constant column has its constant to the last digit.
    """
    sample = sample_of(batch, most)
    first = 0 if batch.weight is None else jnp.argmax(batch.weight != 0)
    base = rows_of(jax.lax.stop_gradient(batch), name, first).astype(floating_dtype(batch.x))
    if batch.weight is not None:
        base = jnp.where(jax.lax.stop_gradient(batch.weight)[first] != 0, base, 0)
    away = weighted_mean(away_from(sample, name, base), sample.weight)
    return base + away.reshape(base.shape)


def sample_of(batch: Rows, most: int = 1024) -> Rows:
    """Some thousand rows throughout the batch, or ``most``."""
    step = -(-len(batch.x) // most)
    return readable(blocks.of_rows(lambda rows: jax.lax.stop_gradient(rows)[::step], batch))
