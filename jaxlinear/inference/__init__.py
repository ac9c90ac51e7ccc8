"""Statistical inference after a fit: standard errors, R², leverages, likelihoods, p-values."""

from jaxlinear.inference import log_p, multiple
from jaxlinear.inference.glm import GlmInference, of_glm
from jaxlinear.inference.least_squares import Inference, of_least_squares

__all__ = ["GlmInference", "Inference", "log_p", "multiple", "of_glm", "of_least_squares"]
