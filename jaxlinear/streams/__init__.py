"""Fits, predictions and metrics of rows that no memory holds: streams of batches."""

from jaxlinear.rows.stream import Stream
from jaxlinear.streams.fits import (
    glm,
    logistic_regression,
    poisson_regression,
    softmax_regression,
)
from jaxlinear.streams.predictions import evaluate, predict
from jaxlinear.streams.ridge import ridge_cv
from jaxlinear.streams.sgd import sgd_fit

__all__ = [
    "Stream",
    "evaluate",
    "glm",
    "logistic_regression",
    "poisson_regression",
    "predict",
    "ridge_cv",
    "sgd_fit",
    "softmax_regression",
]
