"""Least squares and ridge: exact fits, of one target or of many that share x."""

import numbers

import numpy as np
from sklearn.base import MultiOutputMixin
from sklearn.utils.validation import check_scalar

import jaxlinear as jl
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import Regressor
from jaxlinear.sklearn.splits import folds_of, of_few_sizes
from jaxlinear.types import Batch, Fit


class LinearRegression(MultiOutputMixin, Regressor):
    """Least squares: Σ_i w_i ‖y_i − w x_i − b‖² at its minimum, of all minima that of least ‖w‖.

    ``jl.least_squares``, in place of scikit-learn's ``LinearRegression``: right to the last digit
    that the data support, whatever the scales and offsets of the columns.

    Attributes: ``coef_`` (d,) or (k, d), ``intercept_``, ``rank_`` that of X, ``fit_``,
    ``status_`` (RANK_DEFICIENT where columns depend on each other), ``gap_``.

    >>> X, y = np.array([[1.0], [2.0], [4.0]]), np.array([2.0, 5.0, 11.0])
    >>> model = LinearRegression().fit(X, y)
    >>> print(model.predict([[3.0]]).round(6), model.status_.name, model.coef_.dtype)
    [8.] CONVERGED float64
    """

    def __init__(self, *, fit_intercept=True):
        self.fit_intercept = fit_intercept

    def _solve(self, batch: Batch) -> Fit:
        x, y, weight = door.of_few_sizes(batch)
        fit = jl.least_squares(x, y, weight=weight, intercept=self.fit_intercept)
        self.rank_ = int(fit.report.rank)
        return fit


class Ridge(MultiOutputMixin, Regressor):
    """Least squares with a penalty: Σ_i w_i ‖y_i − w x_i − b‖² + alpha ‖w‖² at its minimum.

    ``jl.ridge`` with l2 = alpha / Σ w, in place of scikit-learn's ``Ridge``; ``alpha`` is a number,
    or (k,), one for each target. Attributes: ``coef_``, ``intercept_``, ``fit_``, ``status_``.
    """

    def __init__(self, alpha=1.0, *, fit_intercept=True):
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def _solve(self, batch: Batch) -> Fit:
        l2 = _strengths(self.alpha, "alpha") / door.total_weight(batch)
        x, y, weight = door.of_few_sizes(batch)
        return jl.ridge(x, y, l2, weight=weight, intercept=self.fit_intercept)


class RidgeCV(MultiOutputMixin, Regressor):
    """``Ridge`` with alpha chosen among ``alphas`` by cross-validation.

    ``jl.ridge_cv``, in place of scikit-learn's ``RidgeCV``: ``cv=None`` leaves one row out at a
    time, in closed form; else ``cv`` is a number of folds, a splitter of scikit-learn, or splits.
    Of equal errors the largest alpha wins.

    Attributes: those of ``Ridge``; ``alpha_``, a number, or (k,) with ``alpha_per_target``;
    ``errors_`` (m,) or (m, k), the mean squared error of held-out rows for every alpha; and
    ``best_score_``, the least of them with the sign changed.
    """

    def __init__(self, alphas=(0.1, 1.0, 10.0), *, fit_intercept=True, cv=None,
                 alpha_per_target=False):  # fmt: skip
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.alpha_per_target = alpha_per_target

    def _solve(self, batch: Batch) -> Fit:
        alphas, total = np.ravel(_strengths(self.alphas, "alphas")), door.total_weight(batch)
        per_target = self.alpha_per_target and batch.y.ndim == 2
        folds, fitted = folds_of(self.cv, batch)
        (x, y, weight), folds = of_few_sizes(batch, folds)
        options = {"weight": weight, "intercept": self.fit_intercept}
        found = jl.ridge_cv(x, y, alphas / fitted, folds=folds, per_target=per_target, **options)
        chosen = np.argmin(np.abs(alphas[:, None] / fitted - np.ravel(found.l2)), axis=0)
        self.alpha_ = alphas[chosen] if per_target else alphas[chosen[0]]
        self.errors_ = np.asarray(found.scores)
        self.best_score_ = -np.nanmin(self.errors_, axis=0)
        if folds is None:
            return found.fit
        return jl.ridge(x, y, self.alpha_ / total, **options)  # all rows, at the same alpha


def _strengths(values, name: str) -> np.ndarray:
    """Penalties, by the name that the caller knows."""
    values = np.asarray(values)
    for value in values.ravel():
        check_scalar(value, name, numbers.Real, min_val=0)
    return values.astype(np.float64)
