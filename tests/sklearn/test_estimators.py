"""The estimators beside scikit-learn's own: the same numbers, the same manners, more told."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from cases import full_but

import jaxlinear as jl

pytest.importorskip("sklearn")
from sklearn import config_context, datasets, linear_model, metrics, model_selection
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import jaxlinear.sklearn as own


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        own.SGDRegressor(),
        pytest.param(own.SGDClassifier(), marks=[pytest.mark.full, pytest.mark.long]),
    ],
    ids=repr,
)
def test_every_check_of_scikit_learn(estimator):
    """No check is expected to fail. Those of the others, which compile for long, are in
    ``test_every_check``. SGD passes those of weights too: a batch holds all rows of them.
    """
    check_estimator(estimator, on_skip=None)


def standard(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X = X[:, X.std(axis=0) > 0]
    return StandardScaler().fit_transform(X)[::2], y[::2]


EXACT = {"tol": 1e-12, "solver": "newton-cholesky"}


OF_CV = {"use_legacy_attributes": False, "l1_ratios": (0.0,), "scoring": "accuracy"}


def two_targets(y):
    return np.stack([y, np.sqrt(y)], axis=1)


# The estimator, parameters, those of scikit-learn's alone, the data, and how y is made of theirs.
PAIRS = [
    ("Ridge", {"alpha": 2.0}, {}, "diabetes", two_targets),
    ("LinearRegression", {}, {}, "diabetes", None),
    ("LinearRegression", {"fit_intercept": False}, {}, "diabetes", two_targets),
    ("RidgeCV", {"alphas": np.logspace(-3, 3, 7)}, {}, "diabetes", None),
    ("RidgeCV", {"alphas": [0.1, 1.0, 10.0], "cv": 3}, {"scoring": "neg_mean_squared_error"},
     "diabetes", None),
    ("LogisticRegression", {"C": 0.1}, EXACT, "iris", None),
    ("LogisticRegression", {"class_weight": "balanced"}, EXACT, "digits", lambda y: y.astype(str)),
    ("LogisticRegression", {"fit_intercept": False}, EXACT, "breast_cancer", None),
    ("LogisticRegressionCV", {"Cs": 5}, EXACT | OF_CV, "breast_cancer",
     None),
    ("PoissonRegressor", {"alpha": 0.1}, EXACT, "diabetes", None),
    ("HuberRegressor", {"alpha": 0.01}, {"tol": 1e-9, "max_iter": 10_000}, "diabetes", None),
    ("GammaRegressor", {"alpha": 0.1}, EXACT, "diabetes", None),
]  # fmt: skip


LONG = [pytest.mark.full, pytest.mark.long]
FULL = [pytest.param(*pair, marks=LONG) for pair in PAIRS[:-1]]


@pytest.mark.parametrize("name, params, alone, data, target", [*FULL, PAIRS[-1]])
def test_the_numbers_are_those_of_scikit_learn(name, params, alone, data, target):
    X, y = standard(data)
    y = target(y) if target else y
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    if "CV" in name:
        weight = None  # scores of scikit-learn's folds do not count weights
    mine = getattr(own, name)(**params).fit(X, y, sample_weight=weight)
    other = getattr(linear_model, name)(**params, **alone).fit(X, y, sample_weight=weight)
    # L-BFGS-B ends before the optimum of Huber's loss: the value there is compared below.
    tolerance = 1e-3 if name == "HuberRegressor" else 1e-6
    size = np.abs(other.coef_).max()
    assert mine.coef_.shape == other.coef_.shape and mine.coef_.dtype == np.float64
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=tolerance * size)
    np.testing.assert_allclose(mine.intercept_, other.intercept_, rtol=tolerance, atol=tolerance)
    assert mine.status_ == jl.Status.CONVERGED
    for method in ("predict_proba", "decision_function"):
        if hasattr(other, method):
            got, expected = (getattr(each, method)(X) for each in (mine, other))
            np.testing.assert_allclose(got, expected, atol=1e-6)
    if hasattr(other, "classes_"):
        np.testing.assert_array_equal(mine.predict(X), other.predict(X))
        assert mine.gap_ < 1e-10
    else:
        np.testing.assert_allclose(mine.predict(X), other.predict(X), rtol=10 * tolerance)
    np.testing.assert_allclose(mine.score(X, y), other.score(X, y), atol=10 * tolerance)
    for chosen in ("alpha_", "C_"):
        if hasattr(other, chosen):
            np.testing.assert_allclose(getattr(mine, chosen), getattr(other, chosen))
    if name == "HuberRegressor":
        assert huber_objective(mine, X, y, weight) <= huber_objective(other, X, y, weight)


def huber_objective(model, X, y, weight):
    z = (y - X @ model.coef_ - model.intercept_) / model.scale_
    h = np.where(np.abs(z) < 1.35, z**2, 2 * 1.35 * np.abs(z) - 1.35**2)
    weight = np.ones(len(y)) if weight is None else weight
    return model.scale_ * (weight @ (1 + h)) + model.alpha * model.coef_ @ model.coef_


def numbers():
    """Of the sizes of a check of scikit-learn, so that the programs are there."""
    X, y = datasets.make_regression(n_samples=200, n_features=10, random_state=0)
    return StandardScaler().fit_transform(X), y / y.std()


def test_the_precision_and_the_namespace_are_those_of_the_caller():
    X, y = numbers()
    model = own.SGDRegressor(random_state=0)
    double, single = clone(model).fit(X, y), clone(model).fit(X.astype(np.float32), y)
    assert double.coef_.dtype == np.float64 and single.coef_.dtype == np.float32
    assert double.predict(X).dtype == np.float64 and type(double.fit_.params.w) is np.ndarray
    here = clone(model).fit(jnp.asarray(X), jnp.asarray(y))
    assert isinstance(here.coef_, jax.Array) and here.coef_.dtype == jnp.float32
    assert isinstance(here.predict(jnp.asarray(X)), jax.Array)
    assert type(here.predict(X)) is np.ndarray
    np.testing.assert_allclose(here.coef_, single.coef_, atol=1e-5)
    np.testing.assert_allclose(single.coef_, double.coef_, atol=1e-4)
    assert not jax.config.jax_enable_x64


def test_frames_of_pandas_and_polars():
    polars = pytest.importorskip("polars")
    X, y = numbers()
    model = own.SGDRegressor(random_state=0)
    plain = clone(model).fit(X, y)
    columns = [f"c{i}" for i in range(X.shape[1])]
    for frame in (pandas.DataFrame(X, columns=columns), polars.DataFrame(X, schema=columns)):
        fitted = clone(model).fit(frame, y)
        assert fitted.feature_names_in_.tolist() == columns
        np.testing.assert_array_equal(fitted.predict(frame), plain.predict(X))
        with pytest.raises(ValueError, match="feature names"):
            fitted.predict(frame[columns[::-1]])


@pytest.mark.full
def test_they_stand_where_people_work():
    """A grid, a pipeline, calibration, folds, a pickle, weights that are routed."""
    X, y = standard("breast_cancer")
    model = own.SGDClassifier("log_loss", max_iter=5, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas")
    grid = model_selection.GridSearchCV(pipeline, {"sgdclassifier__alpha": [1e-3, 1e-1]}, cv=3)
    assert grid.fit(pandas.DataFrame(X), y).best_score_ > 0.9
    assert model_selection.cross_val_score(model, X, y, cv=3, scoring="roc_auc").min() > 0.9
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    assert metrics.log_loss(y, calibrated.predict_proba(X)) < 0.3
    again = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True)
    assert model.get_metadata_routing().fit.requests["sample_weight"] is True


def test_partial_fit_goes_on():
    X, y = standard("iris")
    model = own.SGDClassifier("log_loss", momentum=0.5, random_state=0)
    losses = []
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
        losses.append(float(model.fit_.report.objective))
    assert losses[0] > losses[1] > losses[2] and model.fit_.report.steps == 9
    here, names = jnp.asarray(X), np.array(["a", "b", "c"])
    assert isinstance(model.predict(here), jax.Array)
    named = clone(model).set_params(max_iter=1).fit(X, names[y])
    np.testing.assert_array_equal(named.predict(here), named.predict(X))
    assert set(named.predict(here)) <= set(names)
    with pytest.raises(ValueError, match="y holds 3; expected the classes"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="classes is None"):
        own.SGDClassifier().partial_fit(X, y)


def test_without_intercept_sgd_has_none():
    X, y = standard("diabetes")
    model = own.SGDRegressor(fit_intercept=False, max_iter=2000, momentum=0.9, eta0=0.1,
                             batch_size=len(X), alpha=0.1).fit(X, y)  # fmt: skip
    gram = X.T @ X / len(X) + 0.1 * np.eye(X.shape[1])
    np.testing.assert_allclose(model.coef_, np.linalg.solve(gram, X.T @ y / len(X)), rtol=1e-3)
    assert model.intercept_ == 0


def test_no_optimum_is_a_warning_with_the_sentence_of_the_status():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    model = own.LogisticRegression(C=np.inf)
    with pytest.warns(ConvergenceWarning, match="DIVERGED. There is no optimum in reach"):
        model.fit(X, X[:, 0] > 1)
    assert model.status_ == jl.Status.DIVERGED


@pytest.mark.full
def test_a_linear_probe_of_many_concepts_is_one_of_each():
    X, label = standard("iris")
    y = (label[:, None] == np.arange(3)).astype(float)
    y[::7, 1] = np.nan
    splits = list(model_selection.KFold(3, shuffle=True, random_state=0).split(X))
    options = {"l2s": [1e-1, 1e-3], "cv": splits}
    probe = own.LinearProbe(**options).fit(X, y)
    assert probe.coef_.shape == (3, 4) and probe.held_out_.shape == y.shape
    assert probe.predict(X).shape == probe.predict_proba(X).shape == y.shape
    assert (probe.status_ == jl.Status.CONVERGED).all() and probe.l2_.shape == (3,)
    alone = own.LinearProbe(**options).fit(X, label == 2)
    np.testing.assert_allclose(alone.coef_[0], probe.coef_[2], rtol=1e-6)
    np.testing.assert_allclose(alone.held_out_, probe.held_out_[:, 2], rtol=1e-6)


BAD = [
    (lambda X, y: own.Ridge(alpha=-1).fit(X, y), "alpha == -1"),
    (lambda X, y: own.LogisticRegression(C=0).fit(X, y), "C == 0"),
    (lambda X, y: own.LogisticRegression().fit(X, 0 * y), "one class, 0"),
    (lambda X, y: own.SGDClassifier("absolute").fit(X, y), "loss is 'absolute'"),
    (lambda X, y: own.SGDRegressor().fit(X, y).predict(X[:, :2]), "2 features"),
    (lambda X, y: own.SGDRegressor().fit(jnp.asarray(X), y).predict(jnp.ones((2, 9))), "9 feat"),
    (lambda X, y: own.SGDRegressor().fit(jnp.ones(3), y), "x has shape"),
    (lambda X, y: own.SGDRegressor().fit(X, y, sample_weight=-y - 1), "Negative values"),
    (lambda X, y: own.RidgeCV(cv=[([0, 1], [2])]).fit(X, y), "cv leaves out"),
]


@pytest.mark.parametrize("call, message", full_but(BAD, *BAD))
def test_what_is_wrong_is_named(call, message):
    X, y = standard("iris")
    with pytest.raises((ValueError, TypeError), match=message):
        call(X, y)
