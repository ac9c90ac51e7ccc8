"""Errors of held-out folds, predicted by the fit to all others, for every penalty."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxlinear import checks
from jaxlinear.exact import gram, leave_one_out, spectral, statistics
from jaxlinear.exact.spectral import Decomposition
from jaxlinear.exact.static import Validation
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg.products import matmul
from jaxlinear.rows import blocks
from jaxlinear.rows.absent import readable
from jaxlinear.rows.means import away_from, floating_dtype
from jaxlinear.types import Rows


class Folds(NamedTuple):
    """The row numbers ``held`` out by every fold, and those it fits; ``…_inside`` are weights.

    They are 1 for held-out rows, those given by the fold for the others, and 0 for padding.
    """

    held: Int[Array, "folds m"]
    held_inside: Float[Array, "folds m"]
    others: Int[Array, "folds r"]
    others_inside: Float[Array, "folds r"]


def consecutive(number: int, n: int) -> Folds:
    """Blocks of consecutive rows; where ``number`` does not divide n, the first have a row more.

    Computed by the program: as NumPy arrays they would be constants of it under an outer ``jit``.
    """
    least, longer = divmod(n, number)
    block = jnp.arange(number)[:, None]
    first = block * least + jnp.minimum(block, longer)
    size = least + (block < longer)
    held = jnp.arange(least + (longer > 0))[None]
    others = jnp.arange(n - least)[None]
    return Folds(
        jnp.minimum(first + held, n - 1),
        (held < size).astype(jnp.float32),
        jnp.minimum(others + jnp.where(others < first, 0, size), n - 1),
        (others < n - size).astype(jnp.float32),
    )


def rows_of_folds(folds, n: int) -> tuple[Folds, bool]:
    """The ``Folds`` of what a user passes, and whether they are ``apart`` (see ``Validation``)."""
    if not checks.is_known(folds):
        raise ValueError("folds is traced; expected a number or an array known before tracing.")
    weights = np.asarray(checks.folds_as_weights(folds, n))
    out = weights == 0
    apart = (out.sum(axis=0) == 1).all() and ((weights == 1) | out).all()
    return Folds(*_padded(out.astype(np.float32)), *_padded(weights)), bool(apart)


def _padded(weights: np.ndarray) -> tuple:
    """The rows of weight > 0 in every fold, and their weights."""
    lists = [np.flatnonzero(fold) for fold in weights]
    longest = max(len(rows) for rows in lists)
    index = np.zeros((len(lists), longest), np.int32)
    inside = np.zeros((len(lists), longest), weights.dtype)
    for fold, rows in enumerate(lists):
        index[fold, : len(rows)], inside[fold, : len(rows)] = rows, weights[fold, rows]
    return index, inside


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def by_fold(options: Validation, batch: Rows, folds: Folds, l2s) -> Float[Array, "m k"]:
    """The mean squared error of all held-out rows, predicted by the fits without their folds."""

    def outputs(decomposition: Decomposition, held: Rows):
        left = spectral.held_out(decomposition, held)

        def at(argument):
            return matmul(left * argument[0][None], decomposition.rhs.T)

        return at

    return _fold_scores(options, batch, folds, l2s, outputs)


@by_fold.defjvp
def _by_fold_jvp(options, primals, tangents):
    def outputs(decomposition, held):
        def at(argument):
            w = spectral.fit(decomposition, argument[1]).params.w
            return matmul(away_from(held, "x", decomposition.mean.x), w.T)

        return at

    def differentiable(batch, folds, l2s):
        return _fold_scores(options, batch, folds, l2s, outputs)

    _, change = jax.jvp(differentiable, primals, tangents)
    return by_fold(options, *primals), change


def _fold_scores(options: Validation, batch: Rows, folds: Folds, l2s, outputs):
    n, d = batch.x.shape
    from_sums = options.apart and spectral.is_tall(n - folds.held.shape[1], d, options.intercept)

    def squares(number, decomposition: Decomposition):
        held = _taken(batch, folds.held[number], folds.held_inside[number])
        at = outputs(decomposition, held)
        y = away_from(held, "y", decomposition.mean.y)
        scales = spectral.scales(decomposition, l2s)

        def score(argument):
            return matmul(held.weight.astype(y.dtype), jnp.square(y - at(argument)))

        total = leave_one_out.mapped(score, (scales, l2s), y.shape[1])
        weight = jnp.sum(held.weight)
        nothing = (decomposition.weight == 0) & (weight > 0)  # no row to fit
        return jnp.where(nothing, jnp.nan, total), weight

    def from_others(number):
        others = _taken(batch, folds.others[number], folds.others_inside[number])
        return squares(number, spectral.decompose(others, options.intercept, l2s))

    numbers = jnp.arange(len(folds.held))
    if from_sums:
        grams = jax.lax.map(
            lambda number: statistics.of_batch(
                _taken(batch, folds.held[number], folds.held_inside[number])
            ),
            numbers,
        )

        def from_statistics(number):
            others = gram.pool(_without(grams, number))
            return squares(number, spectral.primal(others, options.intercept))

        total, weight = jax.lax.map(from_statistics, numbers)
    else:
        total, weight = jax.lax.map(from_others, numbers)
    return jnp.sum(total, axis=0) / jnp.sum(weight)


def _taken(batch: Rows, index, inside) -> Rows:
    part = blocks.take(batch, index)
    inside = inside.astype(floating_dtype(part.x))
    weight = inside if part.weight is None else inside * part.weight
    return readable(part._replace(weight=weight))


def _without(grams: Gram, number) -> Gram:
    """The stack of Grams, with one of them set to 0."""

    def keep(leaf):
        others = jnp.arange(len(leaf)) != number
        return jnp.where(others.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    return jax.tree.map(keep, grams)
