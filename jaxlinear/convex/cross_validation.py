"""Cross-validation of any smooth loss: all folds and penalties in one program."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.choice import CrossValidation
from jaxlinear.convex import row_space
from jaxlinear.convex.held_out import chosen, error_of, mean_error
from jaxlinear.convex.solve import path, solve
from jaxlinear.convex.static import MOST_STEPS, Data, Setting, arranged, setting_of
from jaxlinear.endings import located, unless_blind, usable
from jaxlinear.rows.absent import ones_or, weighted_mean, where_present
from jaxlinear.types import Batch, Linear

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
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> CrossValidation:
    """Choose l2 among l2s (m,) by the errors of all folds, and fit all examples with it.

    Args:
      loss, x, y, outputs, offset, weight, intercept, tol, max_steps: as in ``glm``.
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
    setting, data, start = arranged(
        loss, x, y, outputs, offset, weight, intercept, tol, max_steps, None, fits=np.size(l2s)
    )
    (x, y, weight), dtype = data.batch, data.tol.dtype
    folds = checks.folds_as_weights(folds, len(x)).astype(dtype)
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", dtype))
    fits = located(path(setting, data, l2s, start), x, y, weight)
    error = error_of(loss) if error is None else error
    rows, starts = _in_row_space(fits.params, x, weight, setting.intercept, len(folds))
    starts = jax.tree.map(lambda leaf: leaf.astype(dtype), starts)
    near = setting_of(
        loss, rows, start.b.shape, setting.intercept, setting.most, warm=True, near=True
    )
    data = data._replace(batch=Batch(rows, y, ones_or(weight, len(x), dtype)))
    scores, ends = _fold_scores(near, error, data, starts, l2s, folds)
    (l2, fit, why), blind = chosen(scores, l2s, (l2s, fits, ends))
    return CrossValidation(unless_blind(fit, blind, why), l2, scores)


def _in_row_space(params: Linear, x, weight, intercept: bool, folds: int):
    """x and the parameters of all penalties in the row space, where that pays: of few examples.

    Not of an x that is traced: its scores may have derivatives, and the basis has none.
    """
    outputs, fits = params.b[0].size, len(params.b) * folds
    if not checks.is_known(x) or not row_space.pays(*x.shape, outputs, fits):
        return x, params
    space = jax.jit(row_space.of, static_argnums=2)(x, weight, intercept)
    return space.rows, row_space.inside(params, space)


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
            return *mean_error(error, setting.separate, fit, x, y, held, data.offset), jnp.sum(held)

        if folds.size * start.b.size <= _AT_ONCE:
            scores, ends, held = jax.vmap(of_fold)(folds)
        else:
            scores, ends, held = jax.lax.map(of_fold, folds)
        failed = jnp.argmin(usable(ends), axis=0)  # the first, or 0
        why = jnp.take_along_axis(ends, failed[None], axis=0)[0]
        scores = weighted_mean(where_present(held, scores), held)
        return jnp.where(jnp.any(held > 0), scores, jnp.nan), why

    return jax.lax.map(at, (l2s, starts))
