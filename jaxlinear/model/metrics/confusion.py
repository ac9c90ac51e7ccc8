"""Metrics of decisions, from the confusion matrix."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.model.metrics import forms
from jaxlinear.model.metrics.forms import Scores, Targets, Value, Weight


def confusion_matrix(o: Scores, y: Targets, weight: Weight = None) -> Float[Array, "k k"]:
    """The weight of the examples of true class i, row, that are given to class j, column.

    ``o`` holds k scores per example, of which the largest wins, or one logit, which decides
    between two classes; ``y`` is as in ``accuracy``. ``sklearn.metrics.confusion_matrix``.

    >>> print(confusion_matrix(jnp.array([2.0, -1.0, 1.0]), jnp.array([1, 1, 0])))
    [[0. 1.]
     [1. 1.]]
    """
    return _matrix(*forms.logits(o, y, weight, independent=False))


def balanced_accuracy(
    o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False
) -> Value:
    """The mean over classes of the weighted fraction of their examples that are recognised.

    ``sklearn.metrics.balanced_accuracy_score``: ½ for guesses between two classes, however rare
    one is. Classes without examples are left out. ``o``, ``y`` and ``independent`` are as in
    ``accuracy``; with ``independent=True`` it is the mean over the k labels.

    >>> print(balanced_accuracy(jnp.ones(4), jnp.array([1, 1, 1, 0])))
    0.5
    """

    def of(o, y, weight):
        matrix = _matrix(o, y, weight)
        count = matrix.sum(axis=1)
        recall = jnp.diagonal(matrix) / jnp.where(count == 0, 1, count)
        return jnp.sum(recall) / jnp.sum(count != 0)

    return _over_labels(of, o, y, weight, independent)


def f1(o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False) -> Value:
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).

    Of class 1, where there are two: ``sklearn.metrics.f1_score``. For more classes it is the mean
    over those that occur among labels or decisions, and with ``independent=True`` over the k
    labels: ``average="macro"``. Where there is neither a label nor a decision for 1, it is 0.

    >>> print(f1(jnp.array([1.0, 1.0, -1.0]), jnp.array([1, 0, 1])))
    0.5
    """

    def of(o, y, weight):
        matrix = _matrix(o, y, weight)
        count = matrix.sum(axis=0) + matrix.sum(axis=1)
        score = 2 * jnp.diagonal(matrix) / jnp.where(count == 0, 1, count)
        return score[1] if o.ndim == 1 else jnp.sum(score) / jnp.sum(count != 0)

    return _over_labels(of, o, y, weight, independent)


def _over_labels(metric, o, y, weight, independent: bool):
    o, y, weight = forms.logits(o, y, weight, independent=independent)
    if independent and o.ndim == 2:
        return jnp.mean(jax.vmap(metric, (1, 1, None))(o, y, weight))
    return metric(o, y, weight)


def _matrix(o, y, weight):
    """(k, k) from logits (n,) or (n, k) and targets alike; NaN where a present row has NaN."""
    decided, true = _hot(o, 0.0), _hot(y, 0.5)
    decided, true = (jnp.where((weight == 0)[:, None], 0, rows) for rows in (decided, true))
    with jax.default_matmul_precision("highest"):
        return (true * weight[:, None].astype(true.dtype)).T @ decided


def _hot(rows, border: float):
    """The largest of k columns as one-hot; of one column, whether it is above the border."""
    if rows.ndim == 1:
        rows = jnp.stack([jnp.full_like(rows, border), rows], axis=1)
    largest = jax.nn.one_hot(jnp.argmax(rows, axis=1), rows.shape[1], dtype=rows.dtype)
    nothing = jnp.isnan(rows).any(axis=1) | (rows == -jnp.inf).all(axis=1)
    return jnp.where(nothing[:, None], jnp.nan, largest)
