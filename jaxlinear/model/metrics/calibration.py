"""Whether predicted probabilities come true."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.model.metrics import forms
from jaxlinear.model.metrics.forms import Scores, Targets, Value, Weight
from jaxlinear.rows.absent import where_present
from jaxlinear.rows.sums import accurate_sum


class CalibrationCurve(NamedTuple):
    """The mean probability and the observed share of every bin, and the weight in it."""

    predicted: Float[Array, " bins"]
    observed: Float[Array, " bins"]
    weight: Float[Array, " bins"]


def calibration_curve(
    o: Scores, y: Targets, weight: Weight = None, *, bins: int = 10
) -> CalibrationCurve:
    """Predicted probabilities in bins of equal width, beside what has come true.

    For one logit, or two classes, the probability of class 1 and the share of class 1; for k
    classes the probability of the class that is predicted, and how often it is right. NaN in bins
    without examples. ``sklearn.calibration.calibration_curve(strategy="uniform")``, which leaves
    those out (DeGroot and Fienberg, 1983).

    >>> curve = calibration_curve(jnp.array([-9.0, -9.0, 9.0]), jnp.array([0, 1, 1]), bins=2)
    >>> print(curve.observed, curve.weight)
    [0.5 1. ] [2. 1.]
    """
    predicted, observed, total = _sums(o, y, weight, bins)
    inside = jnp.where(total > 0, total, jnp.nan)
    return CalibrationCurve(predicted / inside, observed / inside, total)


def calibration_error(o: Scores, y: Targets, weight: Weight = None, *, bins: int = 10) -> Value:
    """The mean |observed − predicted| over the bins of ``calibration_curve``, by their weights.

    The expected calibration error (Naeini et al., 2015; Guo et al., 2017).

    >>> print(calibration_error(jnp.array([0.0, 0.0]), jnp.array([1, 1])))
    0.5
    """
    predicted, observed, total = _sums(o, y, weight, bins)
    return jnp.sum(jnp.abs(observed - predicted)) / jnp.sum(total)


def _sums(o, y, weight, bins: int):
    """Of every bin the sums of the probabilities, of what has come true, and of the weights."""
    bins = checks.count(bins, "bins")
    o, y, weight = forms.logits(o, y, weight, independent=False)
    o, y = where_present(weight, o), where_present(weight, y)
    p = jax.nn.sigmoid(o) if o.ndim == 1 else jax.nn.softmax(o)
    if o.ndim == 2:
        best = jnp.argmax(o, axis=1)[:, None]
        p, y = (jnp.take_along_axis(rows, best, axis=1)[:, 0] for rows in (p, y))
    edges = jnp.asarray(np.arange(1, bins) / bins, p.dtype)
    inside = jax.nn.one_hot(jnp.searchsorted(edges, p), bins, dtype=p.dtype) * weight[:, None]
    return (accurate_sum(inside * values[:, None]) for values in (p, y, jnp.ones_like(p)))
