"""A fit of the library as the fitted estimator of scikit-learn that predicts the same."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import sklearn.linear_model
from sklearn.exceptions import ConvergenceWarning

from jaxlinear.model import losses
from jaxlinear.types import Fit, Linear

_CLASSES = ("softmax_cross_entropy", "logistic")
_ESTIMATORS = {
    "squared_error": "LinearRegression",
    "logistic": "LogisticRegression",
    "softmax_cross_entropy": "LogisticRegression",
    "poisson": "PoissonRegressor",
    "gamma": "GammaRegressor",
}


def to_sklearn(
    fit: Fit | Linear,
    loss: Callable = losses.squared_error,
    *,
    classes: Sequence | None = None,
    features: Sequence[str] | None = None,
    **params,
):
    """The fitted estimator of scikit-learn with the parameters of a fit: it predicts the same.

    Whatever takes scikit-learn's models takes it, as ONNX and skops do.

    Args:
      fit: a ``Fit`` of one model, or its parameters.
      loss: that of the fit. ``squared_error`` makes a ``LinearRegression``, or a ``Ridge`` where
        ``alpha`` is given; ``logistic`` of w (d,), and ``softmax_cross_entropy``, a
        ``LogisticRegression``; ``poisson`` and ``gamma`` their regressors.
      classes: what the labels 0 … k-1 are called, sorted; None for these numbers.
      features: the names of the columns.
      params: parameters of the estimator, such as ``alpha`` or ``C``. They say how it was fitted,
        and change no prediction: alpha = l2 Σ w and C = 1 / (l2 Σ w).

    Raises ValueError for another loss, for several models, and for classes that do not fit.

    >>> line = Linear(np.array([2.0]), np.array(1.0))
    >>> print(to_sklearn(line, alpha=0.1).predict([[3.0]]))
    [7.]
    """
    name = getattr(loss, "__name__", str(loss))
    if loss not in (getattr(losses, known) for known in _ESTIMATORS):
        raise ValueError(f"loss is {name}; expected one of {list(_ESTIMATORS)}.")
    given = fit.params if isinstance(fit, Fit) else fit
    w, b = (np.asarray(leaf, np.promote_types(np.asarray(leaf).dtype, "f4")) for leaf in given)
    if w.ndim != b.ndim + 1 or w.ndim > 2 or not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise ValueError(
            f"the fit has w {w.shape} and b {b.shape}; expected one model, w (d,) or (k, d), of "
            "finite numbers."
        )
    if name in _CLASSES:
        w, b, classes = _of_classes(name, w, b, classes)
    elif classes is not None or (w.ndim > 1 and name != "squared_error"):
        raise ValueError(f"got w {w.shape} and classes {classes} of the loss {name}.")
    kind = "Ridge" if name == "squared_error" and "alpha" in params else _ESTIMATORS[name]
    estimator = getattr(sklearn.linear_model, kind)(**params)
    _fit_to_nothing(estimator, w, classes)
    estimator.coef_, estimator.intercept_ = w, b[()]
    if features is not None:
        if len(features) != w.shape[-1]:
            raise ValueError(f"features has {len(features)} names; expected {w.shape[-1]}.")
        estimator.feature_names_in_ = np.array(features, dtype=object)
    if isinstance(fit, Fit) and hasattr(estimator, "n_iter_"):
        steps = int(np.max(fit.report.steps))
        estimator.n_iter_ = np.array([steps]) if name in _CLASSES else steps
    return estimator


def _of_classes(name: str, w, b, classes):
    """Parameters as scikit-learn has them, of two classes one row; and the names of classes."""
    k = 2 if w.ndim == 1 else len(w)
    if (name == "logistic") != (w.ndim == 1):
        raise ValueError(
            f"the fit has w {w.shape} with the loss {name}; expected (d,) for logistic, (k, d) for "
            "softmax_cross_entropy. Of k independent labels make k estimators, of w[i] and b[i]."
        )
    classes = np.arange(k) if classes is None else np.asarray(classes)
    if classes.shape != (k,) or not np.array_equal(classes, np.unique(classes)):
        raise ValueError(f"classes is {classes.tolist()}; expected {k}, different and sorted.")
    if w.ndim == 1:
        return w[None], b[None], classes
    return (w[1:] - w[:1], b[1:] - b[:1], classes) if k == 2 else (w, b, classes)


def _fit_to_nothing(estimator, w: np.ndarray, classes: np.ndarray | None) -> None:
    """Fit to rows of zeros, so that scikit-learn has set all that its own fit sets.

    What it learned of these rows beside parameters is removed.
    """
    outputs = w.shape[:-1] if classes is None else ()
    y = np.ones((2, *outputs)) if classes is None else classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(np.zeros((len(y), w.shape[-1]), w.dtype), y)
    for name in ("rank_", "singular_"):
        vars(estimator).pop(name, None)
