"""All checks of scikit-learn of all estimators: minutes of compiling (with --as-users alone)."""

import jax
import pytest

import jaxlinear as jl

pytest.importorskip("sklearn")
from sklearn.utils.estimator_checks import check_estimator

import jaxlinear.sklearn as own
from jaxlinear.sklearn import door

ESTIMATORS = [
    own.LinearRegression(),
    own.Ridge(),
    own.RidgeCV(),
    own.RidgeCV(cv=3),
    own.LogisticRegression(),
    own.LogisticRegressionCV(cv=3),  # some checks have classes of three rows
    own.PoissonRegressor(),
    own.GammaRegressor(),
    own.HuberRegressor(),
    own.LinearProbe(cv=3),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_every_check(estimator, monkeypatch):
    """No check is expected to fail. One size for all: a fourth of the programs."""

    def of_one_size(batch):
        small = not isinstance(batch.x, jax.Array) and len(batch.x) <= 320
        return jl.resample.pad(batch, 320) if small else batch

    monkeypatch.setattr(door, "of_few_sizes", of_one_size)
    check_estimator(estimator, on_skip=None)
