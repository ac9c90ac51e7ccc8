"""Linear models as pure functions in JAX: one model, or a hundred thousand at once.

Data flow one way: arrays -> ``Batch`` -> objective -> solver -> ``Fit``.
"""

from jaxlinear import data, information, losses, metrics, penalties, train
from jaxlinear.models import affine, labels, normal, predict, probabilities, zeros
from jaxlinear.objective import mean_loss
from jaxlinear.recipes import sgd_fit
from jaxlinear.sgd import sgd
from jaxlinear.types import Batch, Dataset, Fit, Linear, Report, Status

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Dataset",
    "Fit",
    "Linear",
    "Report",
    "Status",
    "affine",
    "data",
    "information",
    "labels",
    "losses",
    "mean_loss",
    "metrics",
    "normal",
    "penalties",
    "predict",
    "probabilities",
    "sgd",
    "sgd_fit",
    "train",
    "zeros",
]
