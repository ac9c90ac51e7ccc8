"""The choice of a penalty for any loss by examples that were not fitted: held-out rows, or folds.

Both follow a path of penalties, score it, and end with a fit of all examples.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import _checks, losses
from jaxlinear.convex import glm, glm_path
from jaxlinear.cross_validation import CrossValidation, unless_blind
from jaxlinear.metrics import mean
from jaxlinear.models import predict
from jaxlinear.types import Fit, Linear

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
    max_steps: int = 300,
) -> CrossValidation:
    """Choose l2 by the error on the held-out rows of a fit of the others, and fit all rows with it.

    Args:
      x, y, outputs, weight, intercept, tol, max_steps: as in ``glm``; x are the features of a
        frozen network, say.
      held_out: (n,) of bool, the rows that choose; or their numbers.
      l2s: the candidates (m,). None is the usual 45 values of C, from 1e-6 to 1e5 by equal
        factors: l2 = 1 / (C Σ w) over the rows that are fitted.
      loss: softmax regression, or any loss that ``glm`` takes. Where it is ``separable``, as
        ``losses.logistic`` is, each of the k outputs has its own l2: a probe for every concept.
      error: ``error(o, y)`` of one example, less is better: ``losses.zero_one`` for classes and
        labels, else ``loss``. Of equal errors the strongest penalty wins.

    Returns:
      ``CrossValidation(fit, l2, scores)``, scores (m, *k) the mean errors of the held-out rows.

    scikit-learn's ``LogisticRegression(C)`` in a loop (Kornblith et al., "Do better ImageNet
    models transfer better?", 2019, A.3; Radford et al., 2021, A.3). Raises ValueError for rows
    that are all or none, and for what ``glm`` refuses.

    >>> x = jax.random.normal(jax.random.key(0), (100, 5))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> probe = linear_probe(x, y, jnp.arange(100) >= 80, [1.0, 0.1, 0.01])
    >>> print(probe.scores.shape, probe.l2.shape)
    (3,) ()
    """
    (x, y, weight), *_ = _checks.examples(
        x, y, weight, losses.target_of(loss), outputs=outputs, look=False
    )
    held_out = _rows(held_out, len(np.shape(x)) and np.shape(x)[0])
    total = _ones_or(weight, len(held_out))
    fitted = jnp.where(held_out, 0, total)
    if l2s is None:
        l2s = 1 / (_INVERSE_PENALTIES * jnp.sum(fitted))
    options = {"outputs": outputs, "intercept": intercept, "tol": tol, "max_steps": max_steps}
    path = glm_path(loss, x, y, l2s, weight=fitted, **options)
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", path.report.objective.dtype))
    error = _error_of(loss) if error is None else error
    scores = _scores(error, path.report.status.ndim == 2, path.params, x, y, total - fitted)
    l2, start = _chosen(scores, l2s, (l2s, path.params))
    fit = glm(loss, x, y, l2, weight=weight, init=start, **options)
    return CrossValidation(unless_blind(fit, jnp.isnan(scores).all(axis=0)), l2, scores)


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
    max_steps: int = 300,
) -> CrossValidation:
    """Choose l2 among l2s (m,) by the errors of all folds, and fit all examples with it.

    Args:
      loss, x, y, outputs, weight, intercept, tol, max_steps: as in ``glm``.
      folds: (f, n) weights, as ``resample`` makes them: k-fold, repeated, stratified, by group,
        or bootstraps. Each is a fit, of ``weight`` times its own, that holds its zeros out.
      error: as in ``linear_probe``, as is the choice.

    Returns:
      ``CrossValidation(fit, l2, scores)``, scores (m, *k) the mean errors of what was held out,
      each fold counting as much as it holds. NaN, and never chosen, where a fold has no fit;
      ``fit.report.status`` is STALLED_AT_PRECISION where no score is a number.

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
    folds = _folds(folds, len(np.shape(x)) and np.shape(x)[0])
    path = glm_path(
        loss, x, y, l2s, outputs=outputs, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps,
    )  # fmt: skip
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", path.report.objective.dtype))
    error = _error_of(loss) if error is None else error
    static = loss, error, bool(intercept), max_steps
    scores = _fold_scores(static, path, x, y, l2s, _ones_or(weight, len(x)), folds, tol)
    l2, fit = _chosen(scores, l2s, (l2s, path))
    return CrossValidation(unless_blind(fit, jnp.isnan(scores).all(axis=0)), l2, scores)


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
            return _mean_error(error, separate, fit.params, x, y, held), jnp.sum(held)

        if folds.size * math.prod(shape) <= _AT_ONCE:
            scores, held = jax.vmap(of_fold)(folds)
        else:
            scores, held = jax.lax.map(of_fold, folds)
        return jnp.tensordot(held, scores, axes=1) / jnp.sum(held)

    return jax.lax.map(at, (l2s, path.params))


def _error_of(loss: Callable) -> Callable:
    return _DECISIONS.get(losses.target_of(loss), loss)


def _mean_error(error: Callable, separate: bool, params: Linear, x, y, held):
    def score(params, y):
        value = mean(error)(predict(params, x), y, held)
        return jnp.where(jnp.isfinite(params.w).all(), value, jnp.nan)  # some labels are right

    return (jax.vmap(score, in_axes=(0, 1)) if separate else score)(params, y)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _scores(error: Callable, separate: bool, params: Linear, x, y, held):
    return jax.lax.map(lambda one: _mean_error(error, separate, one, x, y, held), params)


@jax.jit
def _chosen(scores, l2s, candidates):
    """The candidates of the least score, for every output where scores are (m, k)."""
    strongest_first = jnp.argsort(-l2s)
    compared = jnp.where(jnp.isnan(scores), jnp.inf, scores)[strongest_first]
    best = strongest_first[jnp.argmin(compared, axis=0)]
    each = jnp.arange(best.size)
    return jax.tree.map(
        lambda leaf: leaf[best] if best.ndim == 0 or leaf.ndim == 1 else leaf[best, each],
        candidates,
    )


def _ones_or(weight, n: int):
    return jnp.ones(n) if weight is None else jnp.asarray(weight, jnp.result_type(float))


def _folds(folds, n: int) -> Float[Array, "f n"]:
    """The folds, of which every one holds something out."""
    if np.ndim(folds) != 2 or np.shape(folds)[1] != n:
        raise ValueError(
            f"folds has shape {np.shape(folds)}; expected weights (f, {n}), one row per fit, as "
            "jl.resample.k_fold makes them."
        )
    if not _checks.is_traced(folds):
        full = np.flatnonzero((np.asarray(folds) != 0).all(axis=1))
        if full.size:
            raise ValueError(
                f"fold {full[0]} holds nothing out; expected a weight of 0 in every row of folds."
            )
    return jnp.asarray(folds, jnp.result_type(float))


def _rows(held_out, n: int):
    """The rows as (n,) of bool."""
    if _checks.is_traced(held_out):
        return held_out.astype(bool)
    rows = np.asarray(held_out)
    if rows.dtype != bool:
        rows = np.isin(np.arange(n), rows)
    if rows.shape != (n,) or rows.all() or not rows.any():
        raise ValueError(
            f"held_out has shape {rows.shape} and {rows.sum()} rows; expected ({n},) of bool, or "
            "the numbers of some rows, and others that are fitted."
        )
    return rows
