"""The linear probe: many concepts at once, each with a penalty of its own."""

import functools

import numpy as np
from sklearn.utils.validation import check_is_fitted

import jaxlinear as jl
from jaxlinear.convex.static import MOST_STEPS
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import Classifier
from jaxlinear.sklearn.splits import folds_of, of_few_sizes
from jaxlinear.types import Batch, Fit


class LinearProbe(Classifier):
    """What the features X (n, d), of a layer of a network say, tell of one concept, or of many.

    ``jl.probes.of_layers``: columns are scaled by the rows that are fitted, and every concept
    chooses its penalty among ``l2s`` by the rows that ``cv`` holds out (None: 45 values, as in
    ``jl.linear_probe``). y is (n,) of any classes, or (n, k) of 0 and 1 for k concepts, which do
    not exclude each other, with NaN where there is no label. ``class_weight`` is None or
    "balanced". scikit-learn's ``MultiOutputClassifier`` of a ``GridSearchCV`` of a pipeline of
    ``StandardScaler`` and ``LogisticRegression``: concept by concept.

    Attributes: ``coef_`` (k, d) and ``intercept_`` (k,), of X as it came; ``classes_``; ``l2_``
    and ``errors_`` (m, k), the penalties and the held-out errors; ``held_out_`` (n, k), what every
    row was predicted to be, as outputs, by the fit that did not know it; ``fit_``, ``status_``
    (k,), ``gap_`` (k,).
    """

    def __init__(self, *, l2s=None, cv=5, standardise=True, fit_intercept=True, class_weight=None,
                 tol=None, max_iter=MOST_STEPS):  # fmt: skip
        self.l2s = l2s
        self.cv = cv
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Fit X (n, d) to y (n,) or (n, k); ``sample_weight`` (n,) ≥ 0: 0 leaves a row out."""
        shape = np.asarray(y).shape
        if len(shape) != 2 or shape[1] == 1:
            return super().fit(X, y, sample_weight)
        batch = door.concepts(self, X, y, sample_weight)
        self.classes_ = np.array([0, 1], np.asarray(y).dtype)
        with door.precision(batch.x):
            self._keep(self._solve(batch), X)
        return self

    def _solve(self, batch: Batch) -> Fit:
        one, k = batch.y.ndim == 1, len(self.classes_)
        folds, _ = folds_of(self.cv, batch, classes=one)
        (x, y, weight), folds = of_few_sizes(batch, folds)
        loss, options = jl.losses.logistic, {}
        if k > 2:
            loss, options = jl.losses.softmax_cross_entropy, {"classes": k}
        elif one:
            y = y.astype(x.dtype)
        found = jl.probes.of_layers(
            x, y, None, self.l2s, folds=folds, loss=loss, weight=weight,
            class_weight=None if one else self.class_weight, standardise=self.standardise,
            intercept=self.fit_intercept, tol=self.tol, max_steps=self.max_iter, **options,
        )  # fmt: skip
        told = (np.asarray(each) for each in (found.l2, found.scores, found.outputs))
        self.l2_, self.errors_, held_out = told
        self.held_out_ = held_out[: len(batch.x)]
        self.n_iter_ = np.atleast_1d(np.asarray(found.fit.report.steps))
        return found.fit

    def _is_of_many(self) -> bool:
        return self.fit_.params.b.ndim == 1 and np.ndim(self.status_) == 1

    def predict(self, X):
        """The class of every row (n,); or, of k concepts, 0 and 1 for each (n, k)."""
        check_is_fitted(self)
        if not self._is_of_many():
            return super().predict(X)
        return self._named(X, self._outputs(X, functools.partial(jl.labels, independent=True)))

    def predict_proba(self, X):
        """The probabilities of the classes; or, of k concepts, that of each, (n, k)."""
        check_is_fitted(self)
        if not self._is_of_many():
            return self._probabilities(X)
        return self._outputs(X, functools.partial(jl.probabilities, independent=True))
