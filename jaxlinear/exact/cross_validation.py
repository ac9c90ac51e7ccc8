"""Ridge with the penalty chosen by errors on held-out examples, for all penalties at once.

Leaving out one example has a closed form; leaving out a fold takes a decomposition of the other
folds, made from their statistics where x is tall. Either way one decomposition serves all
penalties, each of which costs two small products.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.choice import CrossValidation, least
from jaxlinear.endings import checked, located, unless_blind
from jaxlinear.exact import fits, leave_one_out, spectral, units
from jaxlinear.exact.held_out import by_fold, consecutive, rows_of_folds
from jaxlinear.exact.static import Data, Setting, Validation
from jaxlinear.rows.means import floating_dtype


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
      l2s: the candidates; where scores are equal the strongest penalty is chosen.
      folds: None leaves out one example at a time, by e_i = r_i / (1 − h_i) with residual r and
        leverage h, at the penalty l2 Σ w of all examples (Allen, 1974). A number k makes k blocks
        of consecutive rows (shuffle rows whose order means something); an array (n,) of whole
        numbers or words names the fold of every row; an array (f, n) holds the weights of the
        rows in every fold, as ``resample`` makes them, with 0 for those held out. With folds, l2
        is relative to the weight of the rows that are fitted, as in ``ridge``.
      per_target: choose an l2 for each of k targets instead of one for all by the mean score.
      generalized: with folds=None, replace each leverage by their mean: generalized
        cross-validation (Golub, Heath and Wahba, 1979).

    Returns:
      ``CrossValidation(fit, l2, scores)``. The fit is refined where x is tall, as that of
      ``least_squares`` is. The scores are means of (o − y)² over held-out examples; a score is
      NaN where the dtype cannot resolve it, as for an example that alone determines a coefficient,
      at a small l2. Where no score is finite, the largest of l2s is taken and
      ``fit.report.status`` is STALLED_AT_PRECISION. The scores are differentiable in l2s and in
      the data, so that l2 can also be found by gradient descent.

    scikit-learn's ``RidgeCV(alphas=l2s * n, alpha_per_target=per_target)``, and ``GridSearchCV``
    over ``Ridge`` for folds; himalaya's ``RidgeCV``.

    >>> x = jnp.linspace(-1, 1, 50)[:, None]
    >>> noise = jax.random.normal(jax.random.key(0), (50,))
    >>> print(ridge_cv(x, 3 * x[:, 0] + noise, [1e-3, 1e-1, 10.0]).l2)
    0.001
    """
    batch, outputs, sound = checks.examples(x, y, weight, "real", look=False)
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", floating_dtype(batch.x)))
    if per_target and not outputs:
        raise ValueError("per_target needs y (n, k); got y (n,). Leave it out.")
    if generalized and folds is not None:
        raise ValueError("generalized is for folds=None: it leaves out single examples.")
    blocks, rows, apart = None, None, True
    if folds is not None and checks.is_known(folds) and np.ndim(folds) == 0:
        blocks = checks.number_of_folds(folds, len(batch.x))
    elif folds is not None:
        rows, apart = rows_of_folds(folds, len(batch.x))
    options = Validation(bool(intercept), bool(per_target), bool(generalized), blocks, apart)
    result = _ridge_cv(options, Data(batch, l2s, sound), rows)
    located(result.fit, x, y, weight)
    return result


@functools.partial(jax.jit, static_argnums=0)
def _ridge_cv(options: Validation, data: Data, folds) -> CrossValidation:
    batch, l2s, sound = data
    rows = units.counted(batch, options.intercept, l2s, common=True)
    penalties = units.penalty(l2s, rows.units)[:, 0]
    decomposition = spectral.decompose(rows, options.intercept, penalties)
    if options.blocks is not None:
        folds = consecutive(options.blocks, len(batch.x))
    if folds is None:
        fixed = jax.lax.stop_gradient(decomposition)
        scores = leave_one_out.scores(options, rows, fixed, penalties)
    else:
        scores = by_fold(options, rows, folds, penalties)
    compared = scores if options.per_target else jnp.mean(scores, axis=1)
    place, blind = least(compared, l2s)
    l2 = l2s[place]
    setting = Setting(options.intercept, fits.REFINED)
    fit = fits.fit_examples(setting, rows, l2, decomposition)
    fit = unless_blind(fit, jnp.any(blind))
    scores = (scores * rows.units.y * rows.units.y).reshape(len(l2s), *batch.y.shape[1:])
    return CrossValidation(checked(fit, sound, batch), l2, scores)
