"""The choice of a penalty for any loss by examples that were not fitted: held-out rows, or folds.

Both follow a path of penalties, score it, and end with a fit of all examples.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import _checks, losses, resample, row_space
from jaxlinear.convex import MOST_STEPS, glm, glm_path
from jaxlinear.cross_validation import CrossValidation, least, unless_blind
from jaxlinear.exact import usable
from jaxlinear.metrics import mean
from jaxlinear.models import predict
from jaxlinear.objective import weighted_mean, where_present
from jaxlinear.types import Fit, Status

_INVERSE_PENALTIES = np.logspace(-6, 5, 45)
_AT_ONCE = 2**26  # outputs of all folds
_DECISIONS = {  # made once, since a program is compiled for each
    "labels": losses.zero_one,
    "probabilities": functools.partial(losses.zero_one, independent=True),
}


def linear_probe(
    x,
    y,
    held_out,
    l2s=None,
    *,
    loss: Callable = losses.softmax_cross_entropy,
    error: Callable | None = None,
    outputs: int | None = None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> CrossValidation:
    """Choose l2 by the error on the held-out rows of a fit of the others, and fit all rows with it.

    Args:
      x, y, outputs, weight, intercept, tol, max_steps: as in ``glm``; x are the features of a
        frozen network, say.
      held_out: the rows that choose: a mask (n,) of bool or of 0 and 1, or integers, the numbers
        of the rows. What has n entries of 0 and 1 is a mask.
      l2s: the candidates (m,). None is the usual 45 values of C, from 1e-6 to 1e5 by equal
        factors: l2 = 1 / (C Σ w) over the rows that are fitted.
      loss: softmax regression, or any loss that ``glm`` takes. Where it is ``separable``, as
        ``losses.logistic`` is, each of the k outputs has its own l2: a probe for every concept.
      error: ``error(o, y)`` of one example, less is better: ``losses.zero_one`` for classes and
        labels, else ``loss``. Of equal errors the strongest penalty wins.

    Returns:
      ``CrossValidation(fit, l2, scores)``, scores (m, *k) the mean errors of the held-out rows:
      NaN, and never chosen, where a fit has no optimum (l2 = 0 and classes that can be separated)
      or did not reach it. Where no score is a number the strongest penalty is taken, with the
      status of its fit of the fitted rows as ``fit.report.status``.

    scikit-learn's ``LogisticRegression(C)`` in a loop (Kornblith et al., "Do better ImageNet
    models transfer better?", 2019, A.3; Radford et al., 2021, A.3). Raises ValueError for rows
    that are all or none, and for what ``glm`` refuses.

    >>> x = jax.random.normal(jax.random.key(0), (100, 5))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> probe = linear_probe(x, y, jnp.arange(100) >= 80, [1.0, 0.1, 0.01])
    >>> print(probe.scores.shape, probe.l2.shape)
    (3,) ()
    """
    (x, y, weight), shape, _ = _checks.examples(
        x, y, weight, losses.target_of(loss), outputs=outputs, look=False
    )
    n = len(x)
    outputs = shape[0] if shape else None  # also where all of a class are held out
    held_out = resample.rows_as_mask(held_out, n)
    total = _ones_or(weight, n)
    held, fitted = jnp.where(held_out, total, 0), jnp.where(held_out, 0, total)
    if not _checks.is_traced(held) and not held.any():
        raise ValueError("weight is 0 in all held-out rows; expected one of weight > 0.")
    if l2s is None:
        l2s = 1 / (_INVERSE_PENALTIES * jnp.sum(fitted))
    options = {"outputs": outputs, "intercept": intercept, "tol": tol, "max_steps": max_steps}
    path = glm_path(loss, x, y, l2s, weight=fitted, **options)
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", path.report.objective.dtype))
    error = _error_of(loss) if error is None else error
    scores, ends = _scores(error, path.report.status.ndim == 2, path, x, y, held)
    (l2, start, why), blind = _chosen(scores, l2s, (l2s, path.params, ends))
    fit = glm(loss, x, y, l2, weight=weight, init=start, **options)
    return CrossValidation(unless_blind(fit, blind, why), l2, scores)


def glm_cv(
    loss: Callable,
    x,
    y,
    l2s,
    folds,
    *,
    error: Callable | None = None,
    outputs: int | None = None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> CrossValidation:
    """Choose l2 among l2s (m,) by the errors of all folds, and fit all examples with it.

    Args:
      loss, x, y, outputs, weight, intercept, tol, max_steps: as in ``glm``.
      folds: (f, n) weights, as ``resample`` makes them: k-fold, repeated, stratified, by group,
        or bootstraps. Each is a fit, of ``weight`` times its own, that holds its zeros out. Or,
        as in ``ridge_cv``, a number of blocks of rows, or the fold of every row (n,).
      error: as in ``linear_probe``, as is the choice.

    Returns:
      ``CrossValidation(fit, l2, scores)``, scores (m, *k) the mean errors of what was held out,
      each fold counting as much as it holds: NaN, and never chosen, for an l2 at which a fold has
      no optimum (l2 = 0 and classes that can be separated) or did not reach it. Which fold it is
      ``glm(..., weight=folds[i])`` tells. Where no score is a number the strongest penalty is
      taken, with the status of the first such fold as ``fit.report.status``.

    For every l2 all examples are fitted first, from where the next stronger penalty ended; then
    all folds at once, from there, with one Hessian (see ``near`` in ``glm``).

    scikit-learn's ``LogisticRegressionCV``, and ``GridSearchCV`` over any other loss. Raises
    ValueError for folds that hold nothing out, and for what ``glm`` refuses.

    >>> from jaxlinear import resample
    >>> x = jax.random.normal(jax.random.key(0), (100, 5))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> folds = resample.stratified_k_fold(jax.random.key(1), y, 5)
    >>> chosen = glm_cv(losses.softmax_cross_entropy, x, y, [1.0, 0.1, 0.01], folds)
    >>> print(chosen.scores.shape, chosen.l2.shape)
    (3,) ()
    """
    (x, y, weight), *_ = _checks.examples(
        x, y, weight, losses.target_of(loss), outputs=outputs, look=False
    )
    n = len(x)
    folds = resample.folds_as_weights(folds, n)
    path = glm_path(
        loss, x, y, l2s, outputs=outputs, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps,
    )  # fmt: skip
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", path.report.objective.dtype))
    error = _error_of(loss) if error is None else error
    static = loss, error, bool(intercept), max_steps
    rows, whole = _in_row_space(path, x, weight, bool(intercept), folds.size // n)
    scores, ends = _fold_scores(static, whole, rows, y, l2s, _ones_or(weight, n), folds, tol)
    (l2, fit, why), blind = _chosen(scores, l2s, (l2s, path, ends))
    return CrossValidation(unless_blind(fit, blind, why), l2, scores)


def _in_row_space(path: Fit, x, weight, intercept: bool, folds: int):
    """x and the fits of all examples in the row space, where that pays: of few examples.

    Not of an x that is traced: its scores may have derivatives, and the basis has none.
    """
    outputs, fits = path.params.b[0].size, len(path.params.b) * folds
    if _checks.is_traced(x) or not row_space.pays(*x.shape, outputs, fits):
        return x, path
    space = jax.jit(row_space.of, static_argnums=2)(x, weight, intercept)
    return space.rows, path._replace(params=row_space.inside(path.params, space))


@functools.partial(jax.jit, static_argnums=0)
def _fold_scores(static, path: Fit, x, y, l2s, weight, folds, tol):
    loss, error, intercept, max_steps = static
    separate, shape = path.report.status.ndim == 2, path.params.b.shape[1:]
    outputs = shape[0] if shape else None

    def at(hyper):
        l2, whole = hyper

        def of_fold(fold):
            fit = glm(
                loss, x, y, l2, outputs=outputs, weight=fold * weight, intercept=intercept,
                tol=tol, max_steps=max_steps, init=whole, near=True,
            )  # fmt: skip
            held = jnp.where(fold == 0, weight, 0)
            return *_mean_error(error, separate, fit, x, y, held), jnp.sum(held)

        if folds.size * math.prod(shape) <= _AT_ONCE:
            scores, ends, held = jax.vmap(of_fold)(folds)
        else:
            scores, ends, held = jax.lax.map(of_fold, folds)
        failed = jnp.argmin(usable(ends), axis=0)  # the first, or 0
        why = jnp.take_along_axis(ends, failed[None], axis=0)[0]
        scores = weighted_mean(where_present(held, scores), held)
        return jnp.where(jnp.any(held > 0), scores, jnp.nan), why

    return jax.lax.map(at, (l2s, path.params))


def _error_of(loss: Callable) -> Callable:
    return _DECISIONS.get(losses.target_of(loss), loss)


def _mean_error(error: Callable, separate: bool, fit: Fit, x, y, held):
    """The mean error of the rows that are held out, NaN where there is none, and how it came."""

    def score(params, y):
        return mean(error)(predict(params, x), y, held)

    scores = (jax.vmap(score, in_axes=(0, 1)) if separate else score)(fit.params, y)
    end = jnp.where(jnp.any(held > 0), fit.report.status, Status.NONFINITE_INPUT)
    return jnp.where(usable(end), scores, jnp.nan), end


@functools.partial(jax.jit, static_argnums=(0, 1))
def _scores(error: Callable, separate: bool, path: Fit, x, y, held):
    return jax.lax.map(lambda one: _mean_error(error, separate, one, x, y, held), path)


@jax.jit
def _chosen(scores, l2s, candidates):
    """The candidates of the least score, for every output where scores are (m, k); ``blind``."""
    best, blind = least(scores, l2s)
    each = jnp.arange(best.size)
    return jax.tree.map(
        lambda leaf: leaf[best] if best.ndim == 0 or leaf.ndim == 1 else leaf[best, each],
        candidates,
    ), blind


def _ones_or(weight, n: int):
    return jnp.ones(n) if weight is None else _checks.weights(weight, n, jnp.result_type(float))
