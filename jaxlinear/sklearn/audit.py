"""Is a fitted linear model at its optimum? Its objective, gradient and gap, computed anew.

What an estimator minimises is told by its parameters (``C``, ``alpha``, ``fit_intercept``). The
same objective is minimised here, in float64, from where the estimator stands, so that the gap is a
difference of objectives and no bound.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted, column_or_1d

import jaxlinear as jl
from jaxlinear.endings import first_true, usable
from jaxlinear.linalg.products import norm_of_tree
from jaxlinear.model.declaration import family_of
from jaxlinear.model.objective import mean_loss, stationarity
from jaxlinear.rows.absent import weighted_mean
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import codes_of, params_of
from jaxlinear.types import Batch, Fit, Linear, Report, Status

_TOL = 1e-8  # of the objective: coefficients have about four digits then


class Objective(NamedTuple):
    """What an estimator minimises: Σ w loss / Σ w + l2/2 ‖w‖², with b where ``intercept``."""

    loss: Callable
    l2: Any
    intercept: bool


class Audit(NamedTuple):
    """What an estimator minimises, its own parameters as a ``Fit``, and the fit at the optimum."""

    objective: Objective
    fit: Fit
    optimum: Fit


def from_sklearn(estimator, X, y, sample_weight=None, *, tol: float = _TOL) -> Fit:
    """A fitted linear estimator as a ``Fit``, whose report is computed from the data of its fit.

    Args:
      estimator: ``LinearRegression``, ``Ridge(CV)``, ``LogisticRegression(CV)`` without an l1
        penalty, ``PoissonRegressor``, ``GammaRegressor``, or, of two classes or numbers,
        ``SGDClassifier(loss="log_loss")`` and ``SGDRegressor``; of scikit-learn or of this module.
        Also a pipeline that ends with one, or a search that has found one.
      X, y, sample_weight: what it was fitted to.
      tol: CONVERGED is within this part of the objective of the optimum.

    Returns:
      ``Fit``: ``params`` are the estimator's; ``report.objective`` and ``gradient_norm`` those of
      its objective there, ``report.gap`` how far it is above the optimum, which is found anew.
      ``report.status`` is CONVERGED; MAX_STEPS, where the estimator stopped before; or DIVERGED,
      where there is no optimum, as for classes that can be separated without a penalty.

    Raises TypeError for other estimators, ValueError for penalties and constraints of other kinds,
    and for data that the estimator cannot have been fitted to.

    >>> from sklearn.linear_model import Ridge
    >>> X, y = np.array([[1.0], [2.0], [4.0]]), np.array([2.0, 5.0, 12.0])
    >>> report = from_sklearn(Ridge(alpha=0.1).fit(X, y), X, y).report
    >>> print(jl.Status(int(report.status)).name, report.gap < 1e-12)
    CONVERGED True
    """
    return audit(estimator, X, y, sample_weight, tol=tol).fit


def audit(estimator, X, y, sample_weight=None, *, tol: float = _TOL) -> Audit:
    """``from_sklearn``, with the objective and the optimum that it compares with."""
    if hasattr(estimator, "best_estimator_"):
        return audit(estimator.best_estimator_, X, y, sample_weight, tol=tol)
    if hasattr(estimator, "steps"):
        before = estimator[:-1]
        X = before.transform(X) if len(estimator) > 1 else X
        return audit(estimator[-1], X, y, sample_weight, tol=tol)
    read = _reader_of(estimator)
    check_is_fitted(estimator)
    batch = _examples(estimator, X, y, sample_weight)
    objective = read(estimator, batch)
    with jax.enable_x64(True):
        params = Linear(*(jnp.asarray(leaf, float) for leaf in params_of(estimator)))
        _require_match(params, batch)
        optimum = _optimum(objective, batch, params)
        report = _report(objective, batch, params, optimum, tol)
        steps = getattr(estimator, "n_iter_", None)
        steps = 0 if steps is None else np.max(steps)
        fit = Fit(params, report._replace(steps=jnp.int32(steps)))
        return Audit(objective, *jax.tree.map(np.asarray, (fit, optimum)))


def _optimum(objective: Objective, batch: Batch, start: Linear) -> Fit:
    x, y, weight = batch
    loss, l2, intercept = objective
    if loss is not jl.losses.squared_error:
        outputs = start.b.shape[0] if start.b.ndim else None
        options = {"weight": weight, "intercept": intercept, "outputs": outputs, "init": start}
        return jl.glm(loss, x, y, l2, **options)
    if np.any(l2):
        return jl.ridge(x, y, l2, weight=weight, intercept=intercept)
    return jl.least_squares(x, y, weight=weight, intercept=intercept)


def _report(objective: Objective, batch: Batch, params: Linear, optimum: Fit, tol) -> Report:
    """The report of parameters, beside the optimum: its gap is that of the optimum and the rest."""
    loss, l2, intercept = objective
    told = functools.partial(_value_and_norm, loss, intercept)
    (here, norm), (there, _) = told(params, batch, l2), told(optimum.params, batch, l2)
    nothing, _ = told(jax.tree.map(jnp.zeros_like, params), batch, l2)
    found, ended = optimum.report.gap, optimum.report.status
    gap = jnp.maximum(here - there, 0) + (0 if found is None else found)
    # Less what no model changes; and it may go to 0: then rounding is that of what it was at 0.
    family, weight = family_of(loss), batch.weight
    least = weighted_mean(jax.vmap(family.least)(batch.y), weight)
    size = jnp.maximum(there - least, jnp.sqrt(jnp.finfo(float).eps) * (nothing - least))
    endless = ended == Status.DIVERGED
    status = first_true(
        {Status.DIVERGED: endless, Status.CONVERGED: usable(ended) & (gap <= tol * size)},
        Status.MAX_STEPS,
    )
    rank = optimum.report.rank
    return Report(status, jnp.int32(0), here, norm, rank, jnp.where(endless, jnp.inf, gap))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _value_and_norm(loss: Callable, intercept: bool, params: Linear, batch: Batch, l2):
    """The objective and the 2-norm of its gradient."""
    gradient = stationarity(loss, intercept, params, (batch, l2))
    return mean_loss(loss)(params, batch, l2), norm_of_tree(gradient)


def _examples(estimator, X, y, sample_weight) -> Batch:
    """x, y and weight in float64; of classes 0 … k-1, or 0.0 and 1.0 for two."""
    batch = door.examples(
        estimator, X, y, sample_weight, numeric=not hasattr(estimator, "classes_"),
        multi_output=True, reset=False,
    )  # fmt: skip
    x, y, weight = (None if each is None else np.asarray(each) for each in batch)
    if hasattr(estimator, "classes_"):
        y = column_or_1d(y)
        even = getattr(estimator, "class_weight", None)
        if even is not None:
            each = compute_sample_weight(even, y)
            weight = each if weight is None else each * weight
        y = codes_of(y, estimator.classes_)
        y = y.astype(float) if len(estimator.classes_) == 2 else y
    return Batch(x.astype(float), y if y.dtype.kind == "i" else y.astype(float), weight)


def _require_match(params: Linear, batch: Batch) -> None:
    """Raise ValueError where the parameters have other outputs than y."""
    classes = batch.y.dtype.kind == "i"
    if not classes and params.b.shape != batch.y.shape[1:]:
        raise ValueError(
            f"y has shape {batch.y.shape}; expected {(len(batch.x), *params.b.shape)}, the targets "
            "that the estimator was fitted to."
        )


def _squares(estimator, batch: Batch) -> Objective:
    if getattr(estimator, "positive", False):
        raise ValueError("the estimator has positive=True; expected an optimum without bounds.")
    alpha = getattr(estimator, "alpha_", getattr(estimator, "alpha", 0.0))
    l2 = np.asarray(alpha, float) / door.total_weight(batch)
    return Objective(jl.losses.squared_error, l2, estimator.fit_intercept)


def _logistic(estimator, batch: Batch) -> Objective:
    if getattr(estimator, "solver", None) == "liblinear" and estimator.fit_intercept:
        raise ValueError(
            "the estimator has solver='liblinear', which penalises the intercept; expected "
            "another, whose optimum is that of its formula."
        )
    strengths = np.unique(estimator.C_ if hasattr(estimator, "C_") else estimator.C)
    if len(strengths) > 1:
        raise ValueError(f"the estimator has C_ {strengths}; expected one C for all classes.")
    return _of_classes(estimator, 1 / (float(strengths[0]) * door.total_weight(batch)))


def _of_classes(estimator, l2) -> Objective:
    many = len(estimator.classes_) > 2
    loss = jl.losses.softmax_cross_entropy if many else jl.losses.logistic
    return Objective(loss, _unless_l1(estimator, l2), estimator.fit_intercept)


def _unless_l1(estimator, l2):
    """l2; 0 where the estimator has no penalty; ValueError where it has another."""
    kind = getattr(estimator, "penalty", "l2")
    ratio = getattr(estimator, "l1_ratio_", getattr(estimator, "l1_ratio", 0))
    if kind in ("l1", "elasticnet") or (kind == "deprecated" and np.any(np.asarray(ratio or 0))):
        raise ValueError("the estimator has an l1 penalty; expected l2, or none.")
    return 0.0 if kind in (None, "none") else l2


def _deviance(loss: Callable) -> Callable:
    return lambda estimator, batch: Objective(loss, estimator.alpha, estimator.fit_intercept)


def _sgd(estimator, batch: Batch) -> Objective:
    """scikit-learn's SGD divides by the number of examples, whatever they weigh."""
    weighs = type(estimator).__module__.startswith("sklearn.")
    l2 = estimator.alpha * (len(batch.x) / door.total_weight(batch) if weighs else 1)
    if hasattr(estimator, "classes_"):
        if estimator.loss != "log_loss" or (weighs and len(estimator.classes_) > 2):
            raise ValueError(
                f"the estimator has loss={estimator.loss!r} and {len(estimator.classes_)} classes; "
                "expected 'log_loss' and two, which have one smooth objective."
            )
        return _of_classes(estimator, l2)
    if estimator.loss != "squared_error":
        raise ValueError(f"the estimator has loss={estimator.loss!r}; expected 'squared_error'.")
    return Objective(jl.losses.squared_error, _unless_l1(estimator, l2), estimator.fit_intercept)


# Names of classes: scikit-learn's, and those of this module.
_READERS = {
    "SGDClassifier": _sgd,
    "SGDRegressor": _sgd,
    "LinearRegression": _squares,
    "Ridge": _squares,
    "RidgeCV": _squares,
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
    "PoissonRegressor": _deviance(jl.losses.poisson),
    "GammaRegressor": _deviance(jl.losses.gamma),
}


def _reader_of(estimator) -> Callable:
    for base in type(estimator).__mro__:
        if base.__name__ in _READERS:
            return _READERS[base.__name__]
    raise TypeError(
        f"the estimator is a {type(estimator).__name__}; expected a fitted {', '.join(_READERS)}, "
        "or a pipeline that ends with one."
    )
