"""Statistical inference after a fit: standard errors, R², leverages, likelihoods, p-values."""

from jaxlinear.inference import log_p, multiple
from jaxlinear.inference.contrasts import Wald, wald
from jaxlinear.inference.glm import GlmInference, of_glm
from jaxlinear.inference.least_squares import Inference, covariance, of_least_squares
from jaxlinear.inference.pairs import Pairs, all_pairs
from jaxlinear.inference.robust import Clusters, NeweyWest

__all__ = [
    "Clusters",
    "GlmInference",
    "Inference",
    "NeweyWest",
    "Pairs",
    "Wald",
    "all_pairs",
    "covariance",
    "log_p",
    "multiple",
    "of_glm",
    "of_least_squares",
    "wald",
]
