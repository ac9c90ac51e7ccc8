"""Regression that outliers do not move, with the scale of the residuals found beside it."""

import functools
import numbers
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from sklearn.utils.validation import check_scalar

import jaxlinear as jl
from jaxlinear.convex.static import MOST_STEPS
from jaxlinear.endings import usable
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import Regressor
from jaxlinear.types import Batch, Fit, Linear

_LOWEST = 15.0  # log(deviation of y / σ) of the least σ: residuals that small are none
_FLAT = 1e-13  # relative deviation of a y that is constant


class HuberRegressor(Regressor):
    """Regression that outliers do not move: Σ_i w_i (σ + σ h((y_i − o_i) / σ)) + alpha ‖w‖².

    h(z) is z² up to a size of epsilon, and beyond it 2 epsilon (size of z) − epsilon²; σ > 0 is
    found with w and b, as in scikit-learn's ``HuberRegressor`` (Huber, *Robust Statistics*, 1981,
    7.7). At a given σ that is ``jl.glm`` of ``jl.losses.huber`` for y / σ, and σ is the root of the
    slope there: Σ w_i min(z_i², epsilon²) = Σ w_i. Where residuals are 0 there is none, and σ is
    next to 0.

    Attributes: ``coef_`` (d,), ``intercept_``, ``scale_``, which is σ, ``outliers_`` (n,),
    ``n_iter_``; ``fit_``, ``status_`` and ``gap_`` are of the last fit, of y / σ.
    """

    def __init__(self, *, epsilon=1.35, alpha=1e-4, fit_intercept=True, tol=None,
                 max_iter=MOST_STEPS):  # fmt: skip
        self.epsilon = epsilon
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def _solve(self, batch: Batch) -> Fit:
        check_scalar(self.epsilon, "epsilon", numbers.Real, min_val=1)
        check_scalar(self.alpha, "alpha", numbers.Real, min_val=0)
        y, weight = np.asarray(batch.y, np.float64), batch.weight
        share = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
        share = share / share.sum()
        # Around its mean: the digits of y / σ are those of its residuals then.
        mean = share @ y if self.fit_intercept else 0.0
        away = y - mean
        spread = np.sqrt(share @ np.square(away))
        if spread <= _FLAT * np.abs(y).max():
            away, spread = 0 * y, 1.0
        self.n_iter_ = 0
        at = functools.partial(self._at, batch._replace(y=away), share)
        found = _least(at, np.log(spread))
        self.scale_ = float(np.exp(found.log_scale))
        self.outliers_ = np.abs(found.residuals) > self.epsilon
        w, b = found.fit.params
        return found.fit._replace(params=Linear(w, b + mean if self.fit_intercept else b))

    def _at(self, batch: Batch, share, log_scale: float, start: Fit | None):
        """The fit at one σ, of y / σ, in which only numbers are new; its params are those of y."""
        scale = float(np.exp(log_scale))
        x, y, weight = door.of_few_sizes(batch._replace(y=(batch.y / scale).astype(batch.x.dtype)))
        init = None if start is None else Linear(*(leaf / scale for leaf in start.params))
        fit = jl.glm(
            _huber(float(self.epsilon)), x, y, self.alpha * scale / door.total_weight(batch),
            weight=weight, intercept=self.fit_intercept, tol=self.tol, max_steps=self.max_iter,
            init=init,
        )  # fmt: skip
        self.n_iter_ += int(fit.report.steps)
        residuals = batch.y / scale - np.asarray(jl.predict(fit.params, batch.x))
        slope = 1 - share @ np.minimum(np.square(residuals), self.epsilon**2)
        params = Linear(*(leaf * scale for leaf in fit.params))
        return _Point(log_scale, fit._replace(params=params), residuals, slope)


class _Point(NamedTuple):
    """The fit at a σ, its residuals in units of σ, and how the least objective rises with σ."""

    log_scale: float
    fit: Fit
    residuals: np.ndarray
    slope: float


def _least(at: Callable, most: float) -> _Point:
    """The point of slope 0, looked for from the deviation of y on, where the slope is ≥ 0."""

    def slope(log_scale: float, start: Fit) -> float:
        return at(log_scale, start).slope

    here = at(most, None)
    for lower in most - np.arange(0, _LOWEST, np.log(4))[1:]:
        below = at(lower, here.fit)
        if here.slope < 0 or not usable(int(below.fit.report.status)):
            break  # by rounding alone: the residuals are no more than that
        if below.slope < 0:
            root = brentq(slope, lower, here.log_scale, args=(below.fit,), xtol=1e-13)
            return at(root, below.fit)
        here = below
    return here


@functools.cache
def _huber(epsilon: float):
    """One loss for one epsilon, for which one program is compiled."""
    return functools.partial(jl.losses.huber, delta=epsilon)
