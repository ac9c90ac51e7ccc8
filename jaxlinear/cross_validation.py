"""Ridge with the penalty chosen by errors on held-out examples, for all penalties at once.

Leaving out one example has a closed form; leaving out a fold takes the statistics of the other
folds. Either way the work is one decomposition, and two small products for every penalty.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxlinear import _checks, exact, gram, leave_one_out, resample, spectral
from jaxlinear.data import batching
from jaxlinear.factor import matmul
from jaxlinear.gram import Gram
from jaxlinear.objective import readable
from jaxlinear.spectral import Dual, Primal
from jaxlinear.types import Batch, Fit, Rows, Status


class CrossValidation(NamedTuple):
    """The fit at the chosen l2, () or (k,), and the scores (m, *k) of all l2s: less is better.

    A score is Σ_i w_i error(o_i, y_i) / Σ_i w_i, where o_i is predicted without example i, its
    fold, or all that is held out. It is NaN, and never chosen, where there is no such prediction.
    """

    fit: Fit
    l2: Float[Array, "*k"]
    scores: Float[Array, "m *k"]


def ridge_cv(
    x,
    y,
    l2s,
    *,
    folds=None,
    per_target: bool = False,
    weight=None,
    intercept: bool = True,
    generalized: bool = False,
) -> CrossValidation:
    """Choose l2 among l2s (m,) by cross-validation, and fit all examples with it.

    Args:
      x, y, weight, intercept: as in ``ridge``.
      l2s: the candidates; of equal scores the strongest penalty wins.
      folds: None leaves out one example at a time, by e_i = r_i / (1 − h_i) with residual r and
        leverage h, at the penalty l2 Σ w of all examples (Allen, 1974). A number k takes k blocks
        of consecutive rows (shuffle rows whose order means something), an array (n,) of whole
        numbers or words the fold of every row, one (f, n) the weights of the rows in every fold,
        as ``resample`` makes them, whose zeros are held out; l2 is then relative to the weight of
        the rows that are fitted, as in ``ridge``.
      per_target: choose an l2 for each of k targets instead of one for all by the mean score.
      generalized: with folds=None, the mean leverage in the place of each: generalized
        cross-validation (Golub, Heath and Wahba, 1979).

    Returns:
      ``CrossValidation(fit, l2, scores)``: a fit that is refined where x is tall, as that of
      ``least_squares`` is; scores of the error (o − y)², NaN where the dtype
      cannot tell it: of an example that alone determines a coefficient, at a small l2.
      ``fit.report.status`` is STALLED_AT_PRECISION where no score is a number, and the largest
      of l2s is taken. The scores are differentiable in l2s and in the data, so that l2 can also be
      found by gradient descent.

    scikit-learn's ``RidgeCV(alphas=l2s * n, alpha_per_target=per_target)``, and ``GridSearchCV``
    over ``Ridge`` for folds; himalaya's ``RidgeCV``.

    >>> x = jnp.linspace(-1, 1, 50)[:, None]
    >>> noise = jax.random.normal(jax.random.key(0), (50,))
    >>> print(ridge_cv(x, 3 * x[:, 0] + noise, [1e-3, 1e-1, 10.0]).l2)
    0.001
    """
    batch, outputs, sound = _checks.examples(x, y, weight, "real", look=False)
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", gram.floating_dtype(batch.x)))
    if per_target and not outputs:
        raise ValueError("per_target needs y (n, k); got y (n,). Leave it out.")
    if generalized and folds is not None:
        raise ValueError("generalized is for folds=None: it leaves out single examples.")
    blocks, rows, apart = None, None, True
    if folds is not None and not _checks.is_traced(folds) and np.ndim(folds) == 0:
        blocks = resample.number_of_folds(folds, len(batch.x))
    elif folds is not None:
        rows, apart = _rows_of_folds(folds, len(batch.x))
    options = _Options(bool(intercept), bool(per_target), bool(generalized), blocks, apart)
    result = _ridge_cv(options, batch, rows, l2s, sound)
    exact.located(result.fit, x, y, weight)
    return result


class _Options(NamedTuple):
    """What is known before tracing; ``apart``: every row is held out once, and else counts as 1."""

    intercept: bool
    per_target: bool
    generalized: bool
    blocks: int | None
    apart: bool


@functools.partial(jax.jit, static_argnums=0)
def _ridge_cv(options: _Options, batch: Batch, folds, l2s, sound) -> CrossValidation:
    rows = gram.examples(batch, options.intercept, l2s, common=True)
    penalties = gram.penalty(l2s, rows.units)[:, 0]
    decomposition = spectral.decompose(rows, options.intercept, penalties)
    if options.blocks is not None:
        folds = _blocks(options.blocks, len(batch.x))
    if folds is None:
        left_out = leave_one_out.Options(options.intercept, options.generalized)
        fixed = jax.lax.stop_gradient(decomposition)
        scores = leave_one_out.scores(left_out, rows, fixed, penalties)
    else:
        scores = _by_fold(options, rows, folds, penalties)
    together = scores.ndim == 1 or options.per_target
    compared = scores if together else jnp.mean(scores, axis=1)
    place, blind = least(compared, l2s)
    l2 = l2s[place]
    fit = exact.fit_examples(rows, l2, options.intercept, exact.REFINED, decomposition)
    fit = unless_blind(fit, jnp.any(blind))
    scores = scores * rows.units.y * rows.units.y
    return CrossValidation(exact.checked(fit, sound, batch), l2, scores)


def least(scores, l2s):
    """The place of the least score (m, …), of equal ones that of the strongest penalty; ``blind``.

    A score that is no finite number is never the least; where none is, the choice is blind.
    """
    strongest_first = jnp.argsort(-l2s)
    compared = jnp.where(jnp.isfinite(scores), scores, jnp.inf)[strongest_first]
    place = strongest_first[jnp.argmin(compared, axis=0)]
    return place, jnp.isinf(jnp.min(compared, axis=0))


def unless_blind(fit: Fit, blind, why=Status.STALLED_AT_PRECISION) -> Fit:
    """The fit, which has no good status where no score chose it, but that which says why."""
    why = jnp.where(exact.usable(why), Status.STALLED_AT_PRECISION, why)
    why = jnp.asarray(why, fit.report.status.dtype)
    status = jnp.where(blind & exact.usable(fit.report.status), why, fit.report.status)
    return fit._replace(report=fit.report._replace(status=status))


class _Folds(NamedTuple):
    """The rows of every fold (folds, m) and of all others; ``…_inside`` are their weights.

    They are those in the fold, 1 for what is held out, and 0 for padding.
    """

    held: Int[Array, "folds m"]
    held_inside: Float[Array, "folds m"]
    others: Int[Array, "folds r"]
    others_inside: Float[Array, "folds r"]


def _blocks(number: int, n: int) -> _Folds:
    """Blocks of consecutive rows, of which the first are longer by one where n / number is broken.

    Counted by the program: the program of another ``jit`` would hold their lists as constants.
    """
    least, longer = divmod(n, number)
    block = jnp.arange(number)[:, None]
    first = block * least + jnp.minimum(block, longer)
    size = least + (block < longer)
    held = jnp.arange(least + (longer > 0))[None]
    others = jnp.arange(n - least)[None]
    return _Folds(
        jnp.minimum(first + held, n - 1),
        (held < size).astype(jnp.float32),
        jnp.minimum(others + jnp.where(others < first, 0, size), n - 1),
        (others < n - size).astype(jnp.float32),
    )


def _rows_of_folds(folds, n: int) -> tuple[_Folds, bool]:
    """The rows, and whether they are ``apart``."""
    if _checks.is_traced(folds):
        raise ValueError("folds is traced; expected a number or an array known before tracing.")
    weights = np.asarray(resample.folds_as_weights(folds, n))
    out = weights == 0
    apart = (out.sum(axis=0) == 1).all() and ((weights == 1) | out).all()
    return _Folds(*_padded(out.astype(np.float32)), *_padded(weights)), bool(apart)


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
def _by_fold(options: _Options, batch: Rows, folds: _Folds, l2s) -> Float[Array, "m *k"]:
    """Mean squared errors of every fold under the fit of the others."""

    def outputs(decomposition: Primal | Dual, held: Rows):
        left, inside = spectral.held_out(decomposition, held)

        def at(argument):
            return matmul(left * argument[0][None], inside.T)

        return at

    return _fold_scores(options, batch, folds, l2s, outputs)


@_by_fold.defjvp
def _by_fold_jvp(options, primals, tangents):
    def outputs(decomposition, held):
        def at(argument):
            params = spectral.fit(decomposition, argument[1]).params
            w = params.w.reshape(-1, params.w.shape[-1])
            return matmul(gram.away_from(held, "x", spectral.mean_of(decomposition).x), w.T)

        return at

    def differentiable(batch, folds, l2s):
        return _fold_scores(options, batch, folds, l2s, outputs)

    _, change = jax.jvp(differentiable, primals, tangents)
    return _by_fold(options, *primals), change


def _fold_scores(options: _Options, batch: Rows, folds: _Folds, l2s, outputs):
    n, d = batch.x.shape
    from_sums = options.apart and spectral.is_tall(n - folds.held.shape[1], d, options.intercept)

    def squares(number, decomposition):
        held = _taken(batch, folds.held[number], folds.held_inside[number])
        at = outputs(decomposition, held)
        y = gram.away_from(held, "y", spectral.mean_of(decomposition).y)
        scales = spectral.scales(decomposition, spectral.weight_of(decomposition), l2s)

        def score(argument):
            return matmul(held.weight.astype(y.dtype), jnp.square(y - at(argument)))

        total = leave_one_out.mapped(score, (scales, l2s), y.shape[1])
        weight = jnp.sum(held.weight)
        nothing = (spectral.weight_of(decomposition) == 0) & (weight > 0)  # was fitted
        return jnp.where(nothing, jnp.nan, total), weight

    def from_others(number):
        others = _taken(batch, folds.others[number], folds.others_inside[number])
        return squares(number, spectral.decompose(others, options.intercept, l2s))

    numbers = jnp.arange(len(folds.held))
    if from_sums:
        grams = jax.lax.map(
            lambda number: gram.of_batch(
                _taken(batch, folds.held[number], folds.held_inside[number])
            ),
            numbers,
        )

        def from_statistics(number):
            made = gram.pool(_without(grams, number))
            return squares(number, spectral.primal(made, options.intercept))

        total, weight = jax.lax.map(from_statistics, numbers)
    else:
        total, weight = jax.lax.map(from_others, numbers)
    scores = jnp.sum(total, axis=0) / jnp.sum(weight)
    return scores.reshape(len(l2s), *batch.y.shape[1:])


def _taken(batch: Rows, index, inside) -> Rows:
    part = batching.take(batch, index)
    inside = inside.astype(gram.floating_dtype(part.x))
    weight = inside if part.weight is None else inside * part.weight
    return readable(part._replace(weight=weight))


def _without(grams: Gram, number) -> Gram:
    """The stack with one Gram emptied."""

    def keep(leaf):
        others = jnp.arange(len(leaf)) != number
        return jnp.where(others.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    return jax.tree.map(keep, grams)
