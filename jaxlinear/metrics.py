"""Metrics of a whole split: ``metric(o, y, weight=None) -> ()``, with o the outputs of the model.

An example of weight 0 is absent, whatever it holds.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from jaxlinear import _checks, losses
from jaxlinear.objective import each_loss, readable, weighted_mean
from jaxlinear.types import Batch

Scores = Num[ArrayLike, "n *k"]
Targets = Num[ArrayLike, "n *l"]
Weight = Num[ArrayLike, " n"] | None
Value = Float[Array, ""]


def accuracy(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The weighted fraction of right labels, in [0, 1]; ``sklearn.metrics.accuracy_score``.

    ``o`` holds k scores per example (the largest wins), one logit (positive means 1), or, where
    it is an integer array, the labels themselves. ``y`` holds labels or distributions.

    >>> print(accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])))
    0.5
    """
    decided, true = _decide(o), _decide(y, threshold=0.5)
    _checks.same_shape(decided, true)
    right = decided == true
    return weighted_mean(right.astype(jnp.result_type(float)), _number(weight))


def mse(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The weighted mean of (o − y)², over examples and outputs: no ½.

    ``sklearn.metrics.mean_squared_error``; torch's ``MSELoss``.
    """
    o, y = _checks.like(o, y)
    return mean(lambda o, y: jnp.mean(jnp.square(o - y)))(o, y, weight)


def r2(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """1 − Σ w (y − o)² / Σ w (y − ȳ)², averaged over outputs; ``sklearn.metrics.r2_score``.

    A constant target, which nothing can explain, has r2 = 0 (and 1 where it is met exactly).
    """
    weight = _number(weight)
    o, y, weight = readable(Batch(*_checks.like(o, y), weight))
    unexplained = weighted_mean(jnp.square(y - o), weight)
    total = weighted_mean(jnp.square(y - weighted_mean(y, weight)[None]), weight)
    constant = total == 0
    ratio = jnp.where(constant, unexplained > 0, unexplained / jnp.where(constant, 1, total))
    return jnp.mean(1 - ratio)


def log_loss(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The weighted mean of −log p(y), in nats, from logits: softmax of k, sigmoid of one.

    ``sklearn.metrics.log_loss``, which takes probabilities.
    """
    loss = losses.logistic if jnp.ndim(o) == 1 else losses.softmax_cross_entropy
    return mean(loss)(o, y, weight)


def mean(loss: Callable) -> Callable:
    """The metric that is the weighted mean of ``loss`` over examples, without a penalty."""

    def metric(o, y, weight=None):
        return weighted_mean(*each_loss(loss, jnp.asarray(o), jnp.asarray(y), _number(weight)))

    return metric


def _decide(scores, threshold: float = 0.0):
    scores = jnp.asarray(scores)
    if scores.ndim == 2:
        return jnp.argmax(scores, axis=1)
    if jnp.issubdtype(scores.dtype, jnp.floating):
        return (scores > threshold).astype(int)
    return scores


def _number(weight):
    return None if weight is None else jnp.asarray(weight, jnp.result_type(float))
