"""Logistic and softmax regression: two classes by one logit, more by one output for each."""

import numbers

import jax
import numpy as np
from sklearn.utils.validation import check_scalar

import jaxlinear as jl
from jaxlinear.convex.static import MOST_STEPS
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import Classifier
from jaxlinear.sklearn.splits import folds_of, of_few_sizes
from jaxlinear.types import Batch, Fit


class _Probabilistic(Classifier):
    """A classifier whose outputs are logits."""

    def _loss_of(self, batch: Batch):
        """The loss, y and options of ``glm`` for two classes, or more."""
        k = len(self.classes_)
        options = {
            "weight": batch.weight,
            "intercept": self.fit_intercept,
            "tol": self.tol,
            "max_steps": self.max_iter,
        }
        if k == 2:
            return jl.losses.logistic, batch.y.astype(batch.x.dtype), options
        return jl.losses.softmax_cross_entropy, batch.y, options | {"outputs": k}

    def _at(self, batch: Batch, C: float, init=None) -> Fit:
        l2 = 1 / (C * door.total_weight(batch))
        batch = door.of_few_sizes(batch)
        loss, y, options = self._loss_of(batch)
        fit = jl.glm(loss, batch.x, y, l2, init=init, **options)
        self.n_iter_ = np.atleast_1d(np.asarray(fit.report.steps))
        return fit

    def predict_proba(self, X):
        """The probabilities of the classes, (n, k)."""
        return self._probabilities(X)

    def predict_log_proba(self, X):
        """The logarithms of the probabilities, (n, k)."""
        p = self.predict_proba(X)
        return (jax.numpy if isinstance(p, jax.Array) else np).log(p)


class LogisticRegression(_Probabilistic):
    """Logistic or softmax regression: C Σ_i w_i cross_entropy_i + ½ ‖w‖² at its minimum.

    ``jl.glm`` with l2 = 1 / (C Σ w), in place of scikit-learn's ``LogisticRegression``, with the
    same minimum. ``C=np.inf`` is no penalty. ``tol``: stop after the step that promises to lower
    the objective by less than this part of it; None is what the dtype can tell. ``class_weight``
    is None, "balanced", or a dict.

    Attributes: ``coef_`` (1, d) or (k, d), ``intercept_``, ``classes_``, ``n_iter_``, ``fit_``,
    ``status_`` (DIVERGED where classes can be separated and there is no penalty) and ``gap_``.

    >>> X, y = np.array([[0.0], [1.0], [1.0], [2.0]]), ["no", "no", "yes", "yes"]
    >>> model = LogisticRegression(C=10.0).fit(X, y)
    >>> print(model.predict(X[:1]), model.status_.name, model.gap_ < 1e-12)
    ['no'] CONVERGED True
    """

    def __init__(self, *, C=1.0, fit_intercept=True, class_weight=None, tol=None,
                 max_iter=MOST_STEPS):  # fmt: skip
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def _solve(self, batch: Batch) -> Fit:
        check_scalar(self.C, "C", numbers.Real, min_val=0, include_boundaries="neither")
        return self._at(batch, self.C)


class LogisticRegressionCV(_Probabilistic):
    """``LogisticRegression`` with C chosen by cross-validation: all folds are one program.

    ``jl.glm_cv``, in place of scikit-learn's ``LogisticRegressionCV``. ``Cs`` are the candidates,
    or how many, between 1e-4 and 1e4 by equal factors. ``cv`` is None for five stratified folds, a
    number of folds, a splitter of scikit-learn, or splits. The error is that of the labels of all
    held-out rows; of equal errors the strongest penalty wins.

    Attributes: those of ``LogisticRegression``; ``Cs_``, the chosen ``C_`` (one for all classes),
    ``errors_`` (m,), and ``best_score_``, the accuracy on held-out rows.
    """

    def __init__(self, *, Cs=10, fit_intercept=True, cv=None, class_weight=None,
                 tol=None, max_iter=MOST_STEPS):  # fmt: skip
        self.Cs = Cs
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def _solve(self, batch: Batch) -> Fit:
        Cs = np.logspace(-4, 4, self.Cs) if isinstance(self.Cs, numbers.Integral) else self.Cs
        self.Cs_ = np.asarray(Cs, np.float64)
        for C in self.Cs_:
            check_scalar(C, "Cs", numbers.Real, min_val=0, include_boundaries="neither")
        folds, fitted = folds_of(self.cv, batch, classes=True)
        padded, folds = of_few_sizes(batch, folds)
        loss, y, options = self._loss_of(padded)
        found = jl.glm_cv(loss, padded.x, y, 1 / (self.Cs_ * fitted), folds, **options)
        self.errors_ = np.asarray(found.scores)
        chosen = np.argmin(np.abs(1 / (self.Cs_ * fitted) - float(found.l2)))
        self.C_, self.best_score_ = float(self.Cs_[chosen]), float(1 - np.nanmin(self.errors_))
        return self._at(batch, self.C_, found.fit)
