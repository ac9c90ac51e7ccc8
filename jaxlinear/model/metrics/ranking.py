"""Metrics of how a score ranks examples: they depend on the order of the outputs alone.

The examples are sorted once, the largest score first. What lies above a threshold is a cumulative
sum, read at the last of the examples that share a score, so that ties count as one threshold. The
order does not depend on weights: for a thousand bootstrap weights there is still one sort.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.model.metrics import forms
from jaxlinear.model.metrics.forms import Scores, Targets, Value, Weight
from jaxlinear.rows.absent import relative
from jaxlinear.rows.sums import accurate_sum, cumulative_sum


class RocCurve(NamedTuple):
    """The rates of false and of true positives above every threshold, from none to all."""

    false_positive: Float[Array, " points"]
    true_positive: Float[Array, " points"]
    threshold: Float[Array, " points"]


def roc_auc(o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False) -> Value:
    """The area under the ROC curve: how often class 1 is ranked above class 0, ties counting ½.

    ``o`` is one logit, (n,) or (n, 1), with y in [0, 1]; two classes are ranked by the difference
    of their outputs. For k classes it is the mean over classes of each against all others, by the
    softmax of o; with ``independent=True`` the mean over the k labels. NaN where a class, or what
    it is compared with, has no examples. ``sklearn.metrics.roc_auc_score``, for classes with
    ``multi_class="ovr"``.

    >>> print(roc_auc(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])))
    0.75
    """
    return _over_labels(_area, o, y, weight, independent)


def _area(o, y, weight):
    """Σ_i false_i · (true above i) / (Σ false · Σ true): no more passes than a sample needs.

    Ties count ½, which is the mean over the order in which they came and the order turned.
    """
    order = jnp.argsort(-o)
    turned = len(o) - 1 - jnp.argsort(-o[::-1])
    weight = relative(weight)
    share = jnp.where(jnp.isnan(o), jnp.nan, y)

    def pairs(order):
        each = weight[order]
        true, false = (_part(each, of_class[order]) for of_class in (share, 1 - share))
        above = cumulative_sum(true) - true / 2
        return accurate_sum(false * above) / _or_nan(accurate_sum(true) * accurate_sum(false))

    def both(orders):
        return (pairs(orders[0]) + pairs(orders[1])) / 2

    ties = jnp.any(order != turned)
    return jax.lax.cond(ties, both, lambda orders: pairs(orders[0]), (order, turned))


def average_precision(
    o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False
) -> Value:
    """Σ_t (recall_t − recall_{t−1}) · precision_t over the thresholds t, the highest first.

    The area under the curve of precision and recall, without interpolation;
    ``sklearn.metrics.average_precision_score``. ``o`` and ``y`` are as in ``roc_auc``, and so is
    the mean over classes or labels. NaN where a class has no examples.

    >>> print(average_precision(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])).round(4))
    0.8333
    """

    def area(o, y, weight):
        false, true, _ = _above(o, y, weight)
        all_above = false + true
        precision = true / jnp.where(all_above == 0, 1, all_above)
        step = jnp.diff(true, prepend=jnp.zeros(1, true.dtype))
        return accurate_sum(step / _or_nan(true[-1]) * precision)

    return _over_labels(area, o, y, weight, independent)


def roc_curve(o: Scores, y: Targets, weight: Weight = None) -> RocCurve:
    """The ROC curve of one logit, or of two classes, as n + 1 points from (0, 0) to (1, 1).

    A score that several examples share, and an example of weight 0, repeat a point: the shape does
    not depend on values. ``sklearn.metrics.roc_curve(drop_intermediate=False)`` drops those.

    >>> curve = roc_curve(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1]))
    >>> print(curve.true_positive, curve.false_positive)
    [0.  0.5 0.5 1.  1. ] [0.  0.  0.5 0.5 1. ]
    """
    o, y, weight = forms.logits(o, y, weight, independent=False)
    if o.ndim != 1:
        raise ValueError(
            f"o has shape {o.shape}; expected one logit per example: each class has its own curve, "
            "roc_curve(o[:, j], y == j)."
        )
    false, true, score = _above(o, y, weight)
    start = jnp.zeros(1, true.dtype)
    false, true = (jnp.concatenate([start, above / _or_nan(above[-1])]) for above in (false, true))
    return RocCurve(false, true, jnp.concatenate([start + jnp.inf, score]))


def _above(o, y, weight):
    """The weights of classes 0 and 1 with a score ≥ that of each example, the largest first."""
    order = jnp.argsort(-o)
    score = o[order]
    last = jnp.concatenate([score[1:] != score[:-1], jnp.ones(1, bool)])
    each = weight[order]

    def count(share):
        part = _part(each, jnp.where(jnp.isnan(o), jnp.nan, share)[order])
        return jax.lax.cummin(jnp.where(last, cumulative_sum(part), jnp.inf), reverse=True)

    return count(1 - y), count(y), score


def _part(weight, share):
    """What an example adds, nothing where it is absent."""
    return jnp.where(weight == 0, 0, weight * share)


def _or_nan(total):
    return jnp.where(total > 0, total, jnp.nan)


def _over_labels(metric, o, y, weight, independent: bool):
    """The metric of one logit, or its mean over classes or labels."""
    o, y, weight = forms.logits(o, y, weight, independent=independent)
    if o.ndim == 1:
        return metric(o, y, weight)
    o = o if independent else forms.log_odds(o)
    return jnp.mean(jax.vmap(metric, (1, 1, None))(o, y, weight))
