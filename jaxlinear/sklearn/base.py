"""What all estimators share: the attributes that a fit leaves, the outputs, the warning.

An estimator is thin: it reads scikit-learn's parameters, calls one function of the library and
keeps its ``Fit``. A regressor says how it is solved, a classifier too, of labels 0 … k-1.
"""

import warnings
from abc import abstractmethod

import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted

import jaxlinear as jl
from jaxlinear.sklearn import door
from jaxlinear.types import Batch, Fit, Linear, Status


def params_of(estimator) -> Linear:
    """The parameters of a fitted linear estimator, of scikit-learn or of this module.

    The two classes of one row of ``coef_`` are one logit: w (d,) and b ().
    """
    w, b = estimator.coef_, estimator.intercept_
    if hasattr(estimator, "classes_") and w.ndim == 2 and len(w) == 1:
        w = w[0]
    shape = w.shape[:-1]
    return Linear(w, np.reshape(b, shape) if np.size(b) == np.prod(shape) else b + 0 * w[..., 0])


def codes_of(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The places 0 … k-1 of labels among sorted classes; ValueError for one that is not there."""
    unknown = np.setdiff1d(y, classes).tolist()
    if unknown:
        raise ValueError(f"y holds {unknown[0]!r}; expected the classes {classes.tolist()}.")
    return np.searchsorted(classes, y)


class LinearModel(BaseEstimator):
    """An estimator with ``coef_``, ``intercept_``, and what the fit tells besides.

    ``fit_`` is the library's ``Fit``, ``status_`` its ``Status`` (an array of codes where several
    models are fitted side by side), ``gap_`` how far the objective may be above the optimum, or
    None where the solver does not tell: an exact one.
    """

    _ordinary = (Status.CONVERGED, Status.STALLED_AT_PRECISION, Status.RANK_DEFICIENT)

    def _keep(self, fit: Fit, given) -> None:
        """Keep the fit in the namespace of the data that were given, and warn if it is none."""
        self.fit_ = fit = door.like(given, fit)
        status, gap = np.asarray(fit.report.status), fit.report.gap
        self.status_ = Status(int(status)) if status.ndim == 0 else status
        self.gap_ = gap if gap is None or np.ndim(gap) else float(gap)
        self._keep_params(fit.params)
        codes = status.ravel().tolist()
        failed = [Status(code) for code in codes if code not in self._ordinary]
        if failed:
            of = f" {len(failed)} of {len(codes)} models:" if len(codes) > 1 else ""
            told = f"{type(self).__name__}:{of} {failed[0].name}. {failed[0].sentence}"
            warnings.warn(told, ConvergenceWarning, stacklevel=4)

    def _keep_params(self, params: Linear) -> None:
        self.coef_, self.intercept_ = params.w, params.b[()]

    def _outputs(self, X, function=jl.predict):
        """``function`` of the parameters and of the rows of X, in the namespace of X."""
        check_is_fitted(self)
        x = door.features(self, X)
        params = params_of(self)
        with door.precision(x, params.w):
            return door.like(X, function(params, door.rows_of_few_sizes(x)))[: len(x)]


class Regressor(RegressorMixin, LinearModel):
    """A regressor of one target, or of several where it is ``multi_output``."""

    @abstractmethod
    def _solve(self, batch: Batch) -> Fit:
        """The fit of checked examples."""

    def fit(self, X, y, sample_weight=None):
        """Fit X (n, d) to y; ``sample_weight`` (n,) ≥ 0, of which 0 leaves a row out."""
        several = isinstance(self, MultiOutputMixin)
        batch = door.examples(self, X, y, sample_weight, numeric=True, multi_output=several)
        with door.precision(batch.x):
            self._keep(self._solve(batch), X)
        return self

    def predict(self, X):
        """The prediction for every row, (n,) or (n, k)."""
        return self._outputs(X)


class Classifier(ClassifierMixin, LinearModel):
    """A classifier of two classes, by one logit, or of k, by k outputs."""

    @abstractmethod
    def _solve(self, batch: Batch) -> Fit:
        """The fit of checked examples with labels 0 … k-1."""

    def fit(self, X, y, sample_weight=None):
        """Fit X (n, d) to labels y (n,); ``sample_weight`` (n,) ≥ 0: 0 leaves a row out."""
        batch = self._labelled(door.examples(self, X, y, sample_weight, numeric=False))
        with door.precision(batch.x):
            self._keep(self._solve(batch), X)
        return self

    def _labelled(self, batch: Batch, classes=None) -> Batch:
        """The batch with labels 0 … k-1 of ``classes``, and weights by ``class_weight``."""
        self.classes_ = np.unique(batch.y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class, {self.classes_.tolist()[0]!r}; expected two classes or more."
            )
        codes = codes_of(batch.y, self.classes_)
        even = getattr(self, "class_weight", None)
        if even is None:
            return batch._replace(y=codes)
        each = compute_class_weight(
            even, classes=self.classes_, y=batch.y, sample_weight=batch.weight
        )[codes]
        weight = each if batch.weight is None else each * batch.weight
        return batch._replace(y=codes, weight=weight.astype(np.promote_types(batch.x.dtype, "f4")))

    def _keep_params(self, params: Linear) -> None:
        d = params.w.shape[-1]
        self.coef_, self.intercept_ = params.w.reshape(-1, d), params.b.reshape(-1)

    def decision_function(self, X):
        """The outputs: (n,), positive for the second class of two, or (n, k)."""
        return self._outputs(X)

    def predict(self, X):
        """The most probable class of every row."""
        return self._named(X, self._outputs(X, jl.labels))

    def _probabilities(self, X):
        """(n, k), also of two classes, of which one logit tells."""

        def of_classes(params, x):
            p = jl.probabilities(params, x)
            return p if p.ndim == 2 else jnp.stack([1 - p, p], axis=1)

        return self._outputs(X, of_classes)

    def _named(self, X, codes):
        """The classes of codes; in the namespace of X where they are numbers."""
        names = self.classes_[np.asarray(codes)]
        return door.from_host(X, names) if names.dtype.kind in "biuf" else names
