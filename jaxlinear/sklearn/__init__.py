"""Estimators of scikit-learn over the library's functions (the extra ``sklearn``)."""

from jaxlinear.sklearn.audit import from_sklearn
from jaxlinear.sklearn.classification import LogisticRegression, LogisticRegressionCV
from jaxlinear.sklearn.export import to_sklearn
from jaxlinear.sklearn.glm import GammaRegressor, PoissonRegressor
from jaxlinear.sklearn.huber import HuberRegressor
from jaxlinear.sklearn.probe import LinearProbe
from jaxlinear.sklearn.regression import LinearRegression, Ridge, RidgeCV
from jaxlinear.sklearn.sgd import SGDClassifier, SGDRegressor

__all__ = [
    "GammaRegressor",
    "HuberRegressor",
    "LinearProbe",
    "LinearRegression",
    "LogisticRegression",
    "LogisticRegressionCV",
    "PoissonRegressor",
    "Ridge",
    "RidgeCV",
    "SGDClassifier",
    "SGDRegressor",
    "from_sklearn",
    "to_sklearn",
]
