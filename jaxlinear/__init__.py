"""Linear models as pure functions in JAX: one model, or a hundred thousand at once.

Data flow one way: arrays -> ``Batch`` -> objective -> solver -> ``Fit``.
"""

import importlib

from jaxlinear import compiler, data, inference, probes, streams
from jaxlinear.choice import CrossValidation
from jaxlinear.compiler import cache
from jaxlinear.convex.cross_validation import glm_cv
from jaxlinear.convex.fits import (
    glm,
    glm_path,
    logistic_regression,
    poisson_regression,
    softmax_regression,
)
from jaxlinear.convex.probe import linear_probe
from jaxlinear.exact import gram
from jaxlinear.exact.cross_validation import ridge_cv
from jaxlinear.exact.fits import least_squares, ridge, ridge_path
from jaxlinear.many import resample, sharding
from jaxlinear.many.sweep import best, grid, sweep
from jaxlinear.model import information, losses, metrics, penalties
from jaxlinear.model.affine import affine, labels, normal, predict, probabilities, zeros
from jaxlinear.model.objective import mean_loss
from jaxlinear.model.scaling import Scaling, standardise, unstandardise
from jaxlinear.training import train
from jaxlinear.training.fit import sgd_fit
from jaxlinear.training.rule import sgd
from jaxlinear.types import Batch, Dataset, Fit, Linear, Report, Status

compiler.warn_of_known_faults()

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "CrossValidation",
    "Dataset",
    "Fit",
    "Linear",
    "Report",
    "Scaling",
    "Status",
    "affine",
    "best",
    "cache",
    "data",
    "glm",
    "glm_cv",
    "glm_path",
    "gram",
    "grid",
    "inference",
    "information",
    "labels",
    "least_squares",
    "linear_probe",
    "logistic_regression",
    "losses",
    "mean_loss",
    "metrics",
    "normal",
    "penalties",
    "poisson_regression",
    "predict",
    "probabilities",
    "probes",
    "resample",
    "ridge",
    "ridge_cv",
    "ridge_path",
    "sgd",
    "sgd_fit",
    "sharding",
    "softmax_regression",
    "standardise",
    "streams",
    "sweep",
    "train",
    "unstandardise",
    "zeros",
]

_WHEN_USED = ("model_file", "plots")  # of which plots needs matplotlib


def __getattr__(name: str):
    if name in _WHEN_USED:
        return importlib.import_module(f"jaxlinear.cli.{name}")
    raise AttributeError(f"module 'jaxlinear' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHEN_USED})
