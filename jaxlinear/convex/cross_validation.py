"""Cross-validation of any smooth loss: all folds and penalties in one program."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxlinear import checks
from jaxlinear.choice import CrossValidation
from jaxlinear.convex import row_space
from jaxlinear.convex.fits import glm_path
from jaxlinear.convex.held_out import chosen, error_of, mean_error
from jaxlinear.convex.solve import solve
from jaxlinear.convex.static import MOST_STEPS, Data, Setting, setting_of, tolerance
from jaxlinear.endings import unless_blind, usable
from jaxlinear.model.declaration import target_of
from jaxlinear.rows.absent import ones_or, weighted_mean, where_present
from jaxlinear.types import Batch, Fit, Linear

_AT_ONCE = 2**26  # outputs of all folds


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
    >>> chosen = glm_cv(jl.losses.softmax_cross_entropy, x, y, [1.0, 0.1, 0.01], folds)
    >>> print(chosen.scores.shape, chosen.l2.shape)
    (3,) ()
    """
    batch, shape, sound = checks.examples(
        x, y, weight, target_of(loss), outputs=outputs, look=False
    )
    x, y, weight = batch
    n = len(x)
    folds = checks.folds_as_weights(folds, n)
    path = glm_path(
        loss, x, y, l2s, outputs=outputs, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps,
    )  # fmt: skip
    dtype = path.report.objective.dtype
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", dtype))
    error = error_of(loss) if error is None else error
    rows, whole = _in_row_space(path, x, weight, bool(intercept), folds.size // n)
    setting = setting_of(loss, rows, shape, bool(intercept), max_steps, warm=True, near=True)
    data = Data(Batch(rows, y, ones_or(weight, n, dtype)), None, tolerance(tol, dtype), sound)
    starts = jax.tree.map(lambda leaf: leaf.astype(dtype), whole.params)
    scores, ends = _fold_scores(setting, error, data, starts, l2s, folds.astype(dtype))
    (l2, fit, why), blind = chosen(scores, l2s, (l2s, path, ends))
    return CrossValidation(unless_blind(fit, blind, why), l2, scores)


def _in_row_space(path: Fit, x, weight, intercept: bool, folds: int):
    """x and the fits of all examples in the row space, where that pays: of few examples.

    Not of an x that is traced: its scores may have derivatives, and the basis has none.
    """
    outputs, fits = path.params.b[0].size, len(path.params.b) * folds
    if checks.is_traced(x) or not row_space.pays(*x.shape, outputs, fits):
        return x, path
    space = jax.jit(row_space.of, static_argnums=2)(x, weight, intercept)
    return space.rows, path._replace(params=row_space.inside(path.params, space))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fold_scores(setting: Setting, error: Callable, data: Data, starts: Linear, l2s, folds):
    """Mean errors of the rows that folds hold out, at every penalty; and why there is none."""
    x, y, weight = data.batch

    def at(hyper):
        l2, start = hyper

        def of_fold(fold):
            inside = fold * weight
            sound = data.sound & jnp.any(inside != 0)
            sound &= jnp.all((inside >= 0) & jnp.isfinite(inside))  # folds may be traced
            fold_data = data._replace(batch=Batch(x, y, inside), sound=sound)
            fit = solve(setting, fold_data, l2, start)
            held = jnp.where(fold == 0, weight, 0)
            return *mean_error(error, setting.separate, fit, x, y, held), jnp.sum(held)

        if folds.size * start.b.size <= _AT_ONCE:
            scores, ends, held = jax.vmap(of_fold)(folds)
        else:
            scores, ends, held = jax.lax.map(of_fold, folds)
        failed = jnp.argmin(usable(ends), axis=0)  # the first, or 0
        why = jnp.take_along_axis(ends, failed[None], axis=0)[0]
        scores = weighted_mean(where_present(held, scores), held)
        return jnp.where(jnp.any(held > 0), scores, jnp.nan), why

    return jax.lax.map(at, (l2s, starts))
