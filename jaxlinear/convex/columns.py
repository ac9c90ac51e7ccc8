"""Columns of x centred and scaled, so that neither their units nor their offsets matter.

A solver sees θ, the parameters of the scaled columns; ``scaled`` and ``unscaled`` go between them
and those of the columns as they came, exactly.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.convex import row_space
from jaxlinear.convex.problem import Problem
from jaxlinear.convex.row_space import RowSpace
from jaxlinear.linalg.products import matmul
from jaxlinear.loops import stored, when
from jaxlinear.rows.absent import blank, ones_or, relative
from jaxlinear.rows.blocks import fold, rows_in_cache
from jaxlinear.rows.means import away_from, floating_dtype, guess_of_mean, sample_of
from jaxlinear.types import Batch, Linear

_LARGE = 2**16  # numbers, for which it matters how often they are read, and how by a product
_SAMPLE = 128  # rows, that tell the unit of a column, and about its mean


class Units(NamedTuple):
    """The center and scale of every column; with an intercept θ = (w · scale, b + w · center).

    Where there is a ``space``, w and the columns are those of its rows.
    """

    center: Float[Array, " d"]
    scale: Float[Array, " d"]
    space: RowSpace | None = None


class Standardised(NamedTuple):
    """Columns of mean 0 and variance 1, with one of ones at the end: what all penalties share.

    ``mean`` are the shares of the examples by the mean of the weights of all models that share x.
    Of what one model has: ``broken`` are rows that hold no number and were blanked, ``constant``
    columns that do not vary in its rows, as the intercept does not.
    """

    x: Float[Array, "n p"]
    units: Units
    mean: Float[Array, " n"]
    broken: Bool[Array, " n"]
    constant: Bool[Array, " d"]


def standardised(
    batch: Batch, l2, intercept: bool, in_rows: bool = False, *, shards: int = 1
) -> Standardised:
    """The columns of a batch, or with ``in_rows`` of its row space, for penalties up to ``l2``.

    Models that share x share its columns, also where they differ in weights or l2: then these are
    standardised by the mean of the weights, which is as good a start. ``shards`` are the parts of
    the rows that lie on devices of their own.
    """
    if in_rows:
        space = row_space.of(batch.x, batch.weight, intercept)
        made = standardised(batch._replace(x=space.rows), l2, intercept)
        return made._replace(units=made.units._replace(space=space))
    root = jnp.sqrt(jnp.max(l2))
    return Standardised(*_columns(intercept, shards)(batch.x, relative(batch.weight), root))


def _columns(intercept: bool, shards: int) -> Callable:
    """Make ``(x, weight, root) -> Standardised``, as a tuple; ``vmap`` copies no columns.

    ``root`` is the largest √l2.
    """

    def one(x, weight, root):
        x = blank(weight, x)
        batch = Batch(x, x[:, 0], weight)
        center, scale, _ = _center_and_scale(batch, intercept, shards)
        scale = jnp.maximum(scale, 1e-9 * root)  # or the penalty on a tiny column overflows

        def make(batch, center, scale):
            made = away_from(batch, "x", center) / scale[None]
            return jnp.pad(made, ((0, 0), (0, intercept)), constant_values=1)

        large = x.size > _LARGE
        made = stored(make, batch, center, scale) if large else make(batch, center, scale)
        share = ones_or(weight, len(made), made.dtype)
        none = (jnp.zeros(length, bool) for length in x.shape)
        return made, Units(center, scale), share / jnp.sum(share), *none

    columns = jax.custom_batching.custom_vmap(one)

    @columns.def_vmap
    def of_all(models, batched, x, weight, root):
        of_x, of_weight, of_root = batched
        if of_x:
            axes = tuple(0 if own else None for own in (of_x, of_weight, of_root))
            made = jax.vmap(one, axes)(x, weight, root)
            return made, jax.tree.map(lambda _: True, made)
        broken = ~jnp.isfinite(x).all(axis=1)
        present = weight != 0 if of_weight else None
        if of_weight:
            weight = jnp.where(jnp.isfinite(weight) & (weight > 0), weight, 0)
            total = jnp.sum(weight, axis=1, keepdims=True)
            weight = jnp.mean(weight / jnp.where(total == 0, 1, total), axis=0)
        weight = jnp.where(broken, 0, ones_or(weight, len(x), floating_dtype(x)))
        made, units, share, _, constant = columns(x, weight, jnp.max(root))
        if of_weight:
            constant = _do_not_vary(made[:, : x.shape[1]], present)
        made = made, units, share, broken, constant
        return made, (*jax.tree.map(lambda _: False, made[:4]), bool(of_weight))

    return columns


def _center_and_scale(batch: Batch, intercept: bool, shards: int) -> Units:
    """The mean and the standard deviation of every column; 1 for one that does not vary.

    Without intercept 0 and the root of the mean square.
    """
    center, spread = center_and_spread(batch, intercept, shards)
    return Units(center, nonzero(spread))


def center_and_spread(
    batch: Batch, intercept: bool, shards: int = 1
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """The mean and the standard deviation of every column, 0 for one that does not vary.

    Without intercept 0 and the root of the mean square. Nothing of the size of x is written.
    """
    x, _, weight = batch
    guess = jnp.zeros(x.shape[1], floating_dtype(x))
    if intercept:
        guess = guess_of_mean(batch, "x", _SAMPLE)  # or the mean of large numbers is all rounding
    share = None if weight is None else weight.astype(guess.dtype) / jnp.sum(weight)

    def moments(unit):
        def of_block(block):
            away = away_from(block, "x", guess) / unit[None]
            return tuple(_part_of_mean(rows, block.weight, len(x)) for rows in (away, away**2))

        def add(total, block):
            return jax.tree.map(jnp.add, total, of_block(block))

        blocks = batch._replace(weight=share)
        rows = rows_in_cache(x.shape[1], 2**19)
        return unit, *fold(of_block, add, blocks, rows, shards=shards)

    def farthest(rows):
        ends = batch._replace(x=jnp.stack([jnp.max(rows, axis=0), jnp.min(rows, axis=0)]))
        return nonzero(jnp.max(jnp.abs(away_from(ends, "x", guess)), axis=0))

    # In the unit of a column squares neither overflow nor vanish. Some rows tell it, mostly.
    large = x.size > _LARGE
    some = sample_of(batch, _SAMPLE).x if large else x
    unit, shift, square = found = moments(farthest(some))
    if large:
        vanish = (square < 1e-24) & ((square > 0) | (shift != 0))
        lost = jnp.any(vanish | ~jnp.isfinite(square))
        unit, shift, square = when(lost, lambda x: moments(farthest(x)), x, found)
    shift = shift if intercept else jnp.zeros_like(shift)
    least = jnp.finfo(square.dtype).eps * square
    spread = jnp.maximum(square - jnp.square(shift), least)
    return guess + unit * shift, unit * jnp.sqrt(spread)


def nonzero(sizes: Float[Array, " d"]) -> Float[Array, " d"]:
    """The sizes, with 1 in the place of 0."""
    return jnp.where(sizes == 0, 1, sizes)


def _part_of_mean(rows: Float[Array, "m d"], share, n: int) -> Float[Array, " d"]:
    """What some rows add to the mean of n, by their shares or equally."""
    return jnp.sum(rows, axis=0) / n if share is None else matmul(share, rows)


def _do_not_vary(columns: Float[Array, "n d"], present: Bool[Array, "m n"]) -> Bool[Array, "m d"]:
    """The columns that have one value in all the rows that are present, by sets of rows.

    Mostly some rows show that there are none. Else it is set by set: ``vmap`` would have a copy of
    all columns for each.
    """

    def constant_in(columns, present):
        largest = jnp.max(columns, axis=0, where=present[:, None], initial=-jnp.inf)
        return largest == jnp.min(columns, axis=0, where=present[:, None], initial=jnp.inf)

    every = max(len(columns) // _SAMPLE, 1)
    few = jax.vmap(constant_in, (None, 0))(columns[::every], present[:, ::every])

    def look(columns):
        return jax.lax.map(functools.partial(constant_in, columns), present)

    return when(jnp.any(few), look, columns, few)


class Problems(NamedTuple):
    """The problem of a model, and the ``common`` one of all models that share x."""

    own: Problem
    common: Problem


def penalised(standard: Standardised, batch: Batch, l2, intercept: bool, outputs: int) -> Problems:
    """The problem of ``outputs`` outputs with a penalty."""
    root = jnp.sqrt(jnp.broadcast_to(l2, (outputs,)))
    penalty = jnp.square(root[:, None] / standard.units.scale[None])
    own = penalty
    if intercept:
        own = jnp.where(standard.constant[None], 1, penalty)  # its weight is 0, with any penalty
        penalty, own = (jnp.pad(each, ((0, 0), (0, 1))) for each in (penalty, own))
    each = ones_or(relative(batch.weight), len(standard.mean), standard.mean.dtype)
    share = jnp.where(standard.broken & (each != 0), jnp.nan, each / jnp.sum(each))
    y = jax.tree.map(functools.partial(blank, batch.weight), batch.y)
    problems = (
        Problem(standard.x, y, share, own),
        Problem(standard.x, batch.y, standard.mean, penalty),
    )
    if batch.weight is not None:
        problems = (problem._replace(present=problem.share != 0) for problem in problems)
    return Problems(*problems)


def rows(params: Linear) -> Linear:
    """Parameters as w (k, d) and b (k,), with k = 1 where there is one output."""
    return Linear(params.w.reshape(params.b.size, -1), params.b.reshape(-1))


def unscaled(theta: Float[Array, "k p"], units: Units, intercept: bool) -> Linear:
    """The parameters of the columns as they came: linear in θ."""
    d = len(units.scale)
    w = theta[:, :d] / units.scale[None]
    b = theta[:, d] - matmul(w, units.center) if intercept else jnp.zeros_like(theta[:, 0])
    return row_space.outside(Linear(w, b), units.space) if units.space else Linear(w, b)


def scaled(params: Linear, units: Units, intercept: bool) -> Float[Array, "k p"]:
    """The inverse of ``unscaled``; what b and w · center cancel is counted in float64."""
    if units.space:
        params = row_space.inside(params, units.space)
    w = params.w * units.scale[None]
    if not intercept:
        return w
    b = row_space.at_center(params, units.center)
    return jnp.concatenate([w, b[:, None]], axis=1)
