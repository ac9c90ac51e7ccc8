"""Statistical inference after a fit: standard errors, R², leverages, likelihoods."""

from jaxlinear.inference.glm import GlmInference, of_glm
from jaxlinear.inference.least_squares import Inference, of_least_squares

__all__ = ["GlmInference", "Inference", "of_glm", "of_least_squares"]
