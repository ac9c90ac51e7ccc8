"""Regressors of counts and of positive numbers."""

import numbers

import numpy as np
from sklearn.metrics import d2_tweedie_score
from sklearn.utils.validation import check_scalar

import jaxlinear as jl
from jaxlinear.convex.static import MOST_STEPS
from jaxlinear.model.declaration import family_of
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import Regressor
from jaxlinear.types import Batch, Fit


class _Positive(Regressor):
    """A regressor of y ≥ 0 with the link log: deviance of a power, and a penalty on w."""

    def __init__(self, *, alpha=1.0, fit_intercept=True, tol=None, max_iter=MOST_STEPS):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _solve(self, batch: Batch) -> Fit:
        check_scalar(self.alpha, "alpha", numbers.Real, min_val=0)
        x, y, weight = self._padded(batch)
        fit = jl.glm(
            self._loss, x, y, self.alpha, weight=weight, intercept=self.fit_intercept,
            tol=self.tol, max_steps=self.max_iter,
        )  # fmt: skip
        self.n_iter_ = int(fit.report.steps)
        return fit

    def _padded(self, batch: Batch) -> Batch:
        """Added rows have no effect, but their y is to be one that the loss takes."""
        n = len(batch.x)
        padded = door.of_few_sizes(batch)
        if len(padded.y) > n:
            padded.y[n:] = 1
        return padded

    def predict(self, X):
        """The mean exp(w x + b) of every row, (n,)."""
        mean = family_of(self._loss).mean
        return self._outputs(X, lambda params, x: mean(jl.predict(params, x)))

    def score(self, X, y, sample_weight=None):
        """D²: the part of the deviance that is explained, at most 1."""
        return d2_tweedie_score(
            np.asarray(y), np.asarray(self.predict(X)), sample_weight=sample_weight,
            power=self._power,
        )  # fmt: skip


class PoissonRegressor(_Positive):
    """Regression of counts: half the mean Poisson deviance + alpha/2 ‖w‖² at its minimum.

    ``jl.poisson_regression`` with l2 = alpha, in place of scikit-learn's ``PoissonRegressor``.
    ``tol`` and the attributes are those of ``LogisticRegression``; ``coef_`` is (d,).
    """

    _loss, _power = staticmethod(jl.losses.poisson), 1


class GammaRegressor(_Positive):
    """Regression of numbers > 0: half the mean gamma deviance + alpha/2 ‖w‖² at its minimum.

    ``jl.glm`` of ``jl.losses.gamma`` with l2 = alpha, in place of scikit-learn's
    ``GammaRegressor``. ``tol`` and the attributes are those of ``LogisticRegression``.
    """

    _loss, _power = staticmethod(jl.losses.gamma), 2
