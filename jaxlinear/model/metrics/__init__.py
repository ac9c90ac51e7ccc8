"""Metrics of a whole split: ``metric(o, y, weight=None) -> ()``, with o the outputs of the model.

Examples of weight 0 have no effect on the value and its derivatives, whatever they hold. Values are
computed in float32 at least, also from integers, booleans and half precision. Invalid targets
raise an error where their values are known; under ``jit`` and ``vmap`` the metric is NaN.
"""

from jaxlinear.model.metrics.calibration import (
    CalibrationCurve,
    calibration_curve,
    calibration_error,
)
from jaxlinear.model.metrics.confusion import balanced_accuracy, confusion_matrix, f1
from jaxlinear.model.metrics.explained import d2, r2
from jaxlinear.model.metrics.means import accuracy, brier, deviance, log_loss, mae, mean, mse, rmse
from jaxlinear.model.metrics.ranking import RocCurve, average_precision, roc_auc, roc_curve

__all__ = [
    "CalibrationCurve",
    "RocCurve",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "calibration_curve",
    "calibration_error",
    "confusion_matrix",
    "d2",
    "deviance",
    "f1",
    "log_loss",
    "mae",
    "mean",
    "mse",
    "r2",
    "rmse",
    "roc_auc",
    "roc_curve",
]
