"""Fits as models of scikit-learn, and models of scikit-learn as fits: which is at its optimum?"""

import jax
import numpy as np
import pytest

import jaxlinear as jl

pytest.importorskip("sklearn")
from sklearn import datasets, linear_model
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxlinear.sklearn import LogisticRegression, from_sklearn, to_sklearn

EXACT = {"tol": 1e-12, "solver": "newton-cholesky"}


@pytest.fixture(scope="module")
def cancer():
    return datasets.load_breast_cancer(return_X_y=True)


def status_of(fit):
    return jl.Status(int(fit.report.status))


def test_a_model_that_stopped_early_is_told_from_one_at_its_optimum(cancer):
    X, y = cancer
    X = StandardScaler().fit_transform(X)
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    best = linear_model.LogisticRegression(**EXACT).fit(X, y, weight)
    early = linear_model.LogisticRegression(tol=1e-2).fit(X, y, weight)
    told, other = (from_sklearn(model, X, y, weight) for model in (best, early))
    assert status_of(told) == jl.Status.CONVERGED and told.report.gap < 1e-14
    assert told.report.steps == best.n_iter_ and told.params.w.dtype == np.float64
    assert status_of(other) == jl.Status.MAX_STEPS

    def objective(model):  # as scikit-learn writes it, by NumPy
        o = X @ model.coef_[0] + model.intercept_
        loss = weight @ (np.logaddexp(0, o) - y * o) + np.sum(model.coef_**2) / 2
        return loss / weight.sum()

    np.testing.assert_allclose(told.report.objective, objective(best), rtol=1e-12)
    np.testing.assert_allclose(other.report.gap, objective(early) - objective(best), rtol=1e-6)
    o = X @ early.coef_[0] + early.intercept_
    slope = weight * (1 / (1 + np.exp(-o)) - y) / weight.sum()
    w = X.T @ slope + early.coef_[0] / weight.sum()
    np.testing.assert_allclose(other.report.gradient_norm, np.hypot(np.linalg.norm(w), slope.sum()))
    assert not jax.config.jax_enable_x64


def diabetes(targets=1):
    X, y = datasets.load_diabetes(return_X_y=True)
    return X * 20, y if targets == 1 else np.stack([y, y**2], axis=1)


CASES = [
    (linear_model.Ridge([1.0, 2.0], fit_intercept=False), 2, "CONVERGED"),
    (linear_model.LinearRegression(), 1, "CONVERGED"),
    (linear_model.RidgeCV(), 1, "CONVERGED"),
    (linear_model.PoissonRegressor(**EXACT), 1, "CONVERGED"),
    (linear_model.GammaRegressor(**EXACT, fit_intercept=False), 1, "CONVERGED"),
    (linear_model.GammaRegressor(max_iter=3), 1, "MAX_STEPS"),
    (linear_model.SGDRegressor(random_state=0), 1, "MAX_STEPS"),
]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model, targets, status", CASES, ids=lambda case: str(case)[:40])
def test_the_audit_of_numbers(model, targets, status):
    X, y = diabetes(targets)
    y = y / 100 if "Gamma" in type(model).__name__ else y
    assert status_of(from_sklearn(model.fit(X, y), X, y)).name == status


@pytest.mark.full
def test_the_audit_looks_into_pipelines_and_searches(cancer):
    X, y = cancer
    model = make_pipeline(StandardScaler(), linear_model.LogisticRegression(**EXACT))
    names = np.array(["malignant", "benign"])[y]
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X, names)
    assert status_of(from_sklearn(search, X, names)) == jl.Status.CONVERGED


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_audit_of_classes():
    X, y = datasets.load_iris(return_X_y=True)
    many = linear_model.LogisticRegression(**EXACT, class_weight="balanced").fit(X, y)
    assert status_of(from_sklearn(many, X, y)) == jl.Status.CONVERGED
    apart = linear_model.LogisticRegression(C=np.inf).fit(X, y == 0)
    told = from_sklearn(apart, X, y == 0)
    assert status_of(told) == jl.Status.DIVERGED and told.report.gap == np.inf
    assert status_of(from_sklearn(LogisticRegression().fit(X, y), X, y)) == jl.Status.CONVERGED


def refused():
    """Models, targets, and why they cannot be audited."""
    X, y = diabetes()
    high, logistic = y > 99, linear_model.LogisticRegression
    yield linear_model.Lasso().fit(X, y), y, TypeError, "is a Lasso; expected"
    yield linear_model.Ridge(positive=True).fit(X, y), y, ValueError, "positive=True"
    liblinear = logistic(solver="liblinear").fit(X, high)
    yield liblinear, high, ValueError, "penalises the intercept"
    l1 = logistic(l1_ratio=1, solver="saga", max_iter=9).fit(X, high)
    yield l1, high, ValueError, "l1 penalty"
    yield linear_model.SGDClassifier().fit(X, high), high, ValueError, "loss='hinge'"
    yield logistic().fit(X, high), y, ValueError, "expected the classes"
    yield linear_model.Ridge().fit(X, np.c_[y, y]), y, ValueError, "y has shape"
    yield linear_model.Ridge(), y, ValueError, "not fitted"
    yield linear_model.Ridge().fit(X[:, :3], y), y, ValueError, "expecting 3 features"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_cannot_be_audited_is_named():
    for model, y, kind, message in refused():
        with pytest.raises(kind, match=message):
            from_sklearn(model, diabetes()[0], y)


PREDICTED = [
    (jl.losses.squared_error, None, {"alpha": 0.1}, "Ridge"),
    (jl.losses.squared_error, 3, {}, "LinearRegression"),
    (jl.losses.logistic, None, {"C": 2.0}, "LogisticRegression"),
    (jl.losses.softmax_cross_entropy, 2, {}, "LogisticRegression"),
    (jl.losses.softmax_cross_entropy, 4, {}, "LogisticRegression"),
    (jl.losses.poisson, None, {}, "PoissonRegressor"),
    (jl.losses.gamma, None, {"alpha": 0.0}, "GammaRegressor"),
]


def test_a_fit_as_a_model_of_scikit_learn_predicts_the_same():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3)).astype(np.float32)
    for loss, outputs, params, kind in PREDICTED:
        shape = () if outputs is None else (outputs,)
        linear = jl.Linear(*(rng.normal(size=s).astype(np.float32) for s in ((*shape, 3), shape)))
        model = to_sklearn(linear, loss, features=["a", "b", "c"], **params)
        assert type(model).__name__ == kind and params.items() <= model.get_params().items()
        assert model.n_features_in_ == 3 and model.feature_names_in_.tolist() == ["a", "b", "c"]
        del model.feature_names_in_  # X has no names
        o = X @ linear.w.T + linear.b
        if kind == "LogisticRegression":
            o = np.stack([0 * o, o], axis=1) if outputs is None else o
            p = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
            np.testing.assert_allclose(model.predict_proba(X), p, atol=1e-6)
            np.testing.assert_array_equal(model.predict(X), p.argmax(axis=1))
        else:
            mean = o if loss is jl.losses.squared_error else np.exp(o)
            np.testing.assert_allclose(model.predict(X), mean, rtol=2e-6, atol=1e-6)


@pytest.mark.full
def test_there_and_back(cancer):
    X, y = cancer
    X = StandardScaler().fit_transform(X)
    names = np.array(["malignant", "benign"])[y]
    with jax.enable_x64(True):
        fit = jl.logistic_regression(X, (names == "malignant") * 1.0, 1 / (0.5 * len(X)))
    model = to_sklearn(fit, jl.losses.logistic, classes=["benign", "malignant"], C=0.5)
    back = from_sklearn(model, X, names)
    np.testing.assert_array_equal(back.params.w, fit.params.w)
    assert status_of(back) == jl.Status.CONVERGED and back.report.steps == fit.report.steps
    np.testing.assert_allclose(back.report.objective, fit.report.objective, rtol=1e-12)


def test_what_has_no_model_in_scikit_learn_is_named():
    w, b = np.ones((2, 3)), np.ones(2)
    for linear, loss, options, message in (
        (jl.Linear(w, b), jl.losses.huber, {}, "loss is huber"),
        (jl.Linear(w, b), jl.losses.logistic, {}, "make k estimators"),
        (jl.Linear(w[None], b[None]), jl.losses.squared_error, {}, "expected one model"),
        (jl.Linear(w, b), jl.losses.softmax_cross_entropy, {"classes": "ba"}, "sorted"),
        (jl.Linear(w[0] * np.nan, b[0]), jl.losses.squared_error, {}, "finite"),
        (jl.Linear(w[0], b[0]), jl.losses.squared_error, {"features": ["a"]}, "1 names"),
    ):
        with pytest.raises(ValueError, match=message):
            to_sklearn(linear, loss, **{k: list(v) for k, v in options.items()})
