"""The first pass: means and deviations of columns, the mean target, and what is to be gained."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear.convex.columns import center_and_spread
from jaxlinear.convex.solve import least_of
from jaxlinear.model.declaration import has_classes
from jaxlinear.model.objective import Target
from jaxlinear.rows.means import floating_dtype
from jaxlinear.rows.stream import Passes, in_pairs
from jaxlinear.types import Batch


class Moments(NamedTuple):
    """Of rows of total ``weight``: the mean and the deviation of every column, 0 if constant.

    ``mean`` is that of y, for labels that of their one-hot vectors; ``least`` the mean of the least
    that the losses can be, one number for each model, or None where that is not known.
    """

    weight: Float[Array, ""]
    center: Float[Array, " d"]
    spread: Float[Array, " d"]
    mean: Float[Array, "*k"]
    least: Float[Array, "*k"] | None


def moments_of(passes: Passes, loss: Callable, intercept: bool, separate: bool) -> Moments:
    """The moments of all rows, and in ``passes`` how many these are; in one pass."""
    counts = np.zeros(0)

    def of_blocks():
        nonlocal counts
        for block in passes:
            if has_classes(loss) and block.y.ndim == 1:
                new = np.bincount(np.asarray(block.y), np.asarray(block.weight), len(counts))
                counts = new + np.pad(counts, (0, len(new) - len(counts)))
            yield _of_block(loss, intercept, separate, block)

    moments = in_pairs(merged, of_blocks())
    if not len(counts):
        return moments
    counts = np.pad(counts, (0, passes.shape[0] - len(counts)))
    return moments._replace(mean=jnp.asarray(counts / counts.sum(), moments.center.dtype))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _of_block(loss: Callable, intercept: bool, separate: bool, block: Batch) -> Moments:
    dtype = floating_dtype(block.x)
    weight = jnp.sum(block.weight)
    share = (block.weight / weight).astype(dtype)
    center, spread = center_and_spread(block, intercept)
    mean = jnp.tensordot(share, block.y.astype(dtype), axes=1)
    return Moments(weight.astype(dtype), center, spread, mean, _least(loss, separate, block, share))


def _least(loss: Callable, separate: bool, block: Batch, share):
    least = least_of(loss)
    if least is None:
        return None
    each = jax.vmap(lambda y: least(Target(y, None)))
    if separate and block.y.ndim == 2:
        return jax.vmap(lambda y: jnp.sum(share * each(y)), in_axes=1)(block.y)
    return jnp.sum(share * each(block.y))


@jax.jit
def merged(a: Moments, b: Moments) -> Moments:
    """The moments of both: deviations from the common mean, of columns of any unit."""
    weight = a.weight + b.weight
    part = b.weight / weight

    def mean(first, second):
        return first + part * (second - first)

    away = b.center - a.center
    unit = jnp.maximum(jnp.maximum(a.spread, b.spread), jnp.abs(away))
    unit = jnp.where(unit > 0, unit, 1)
    squares = mean(jnp.square(a.spread / unit), jnp.square(b.spread / unit))
    squares += part * (1 - part) * jnp.square(away / unit)
    return Moments(
        weight,
        mean(a.center, b.center),
        unit * jnp.sqrt(squares),
        mean(a.mean, b.mean),
        jax.tree.map(mean, a.least, b.least),
    )
