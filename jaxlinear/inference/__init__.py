"""Statistical inference after a fit: standard errors, R², leverages, likelihoods, p-values."""

from jaxlinear.inference import log_p, multiple
from jaxlinear.inference.contrasts import Wald, wald
from jaxlinear.inference.glm import GlmInference, of_glm
from jaxlinear.inference.least_squares import Inference, covariance, of_least_squares
from jaxlinear.inference.robust import Clusters, NeweyWest

__all__ = [
    "Clusters",
    "GlmInference",
    "Inference",
    "NeweyWest",
    "Wald",
    "covariance",
    "log_p",
    "multiple",
    "of_glm",
    "of_least_squares",
    "wald",
]
