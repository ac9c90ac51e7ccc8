"""Metrics of a whole split: ``metric(o, y, weight=None) -> ()``, with o the outputs of the model.

Examples of weight 0 have no effect on the value and its derivatives, whatever they hold. Values are
computed in float32 at least, also from integers, booleans and half precision. Invalid targets
raise an error where their values are known; under ``jit`` and ``vmap`` the metric is NaN.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks
from jaxlinear.model import losses
from jaxlinear.model.objective import each_loss
from jaxlinear.rows.absent import readable, weighted_mean, where_present
from jaxlinear.types import Batch

__all__ = ["accuracy", "log_loss", "mean", "mse", "r2"]

Scores = Shaped[ArrayLike, "..."] | list  # (n,) or (n, k), of any real numbers
Targets = Shaped[ArrayLike, "..."] | list
Weight = Shaped[ArrayLike, "..."] | list | None
Value = Float[Array, ""]


def accuracy(o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False) -> Value:
    """The weighted fraction of right labels, in [0, 1]; ``sklearn.metrics.accuracy_score``.

    ``o`` holds k scores per example (the largest wins); one logit, (n,) or (n, 1) (positive means
    1); or, where it is (n,) and integer, the labels themselves. ``y`` holds labels (n,), in any
    dtype, or distributions (n, k); for one logit it is in [0, 1], the probability of class 1.
    ``independent=True`` is for k labels that do not exclude each other (multilabel): o holds k
    logits, or the labels, and y (n, k) is in [0, 1]; the fraction is that of all n k labels, as in
    ``1 - sklearn.metrics.hamming_loss``.

    >>> print(accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])))
    0.5
    """
    o, y = _column(o, "o"), _column(y, "y")
    weight = _weights(weight, o)
    named = not jnp.issubdtype(o.dtype, jnp.floating) and (o.ndim == 1 or independent)
    y = _targets(o, y, weight, independent=independent, named=named)
    wrong = _differ if named else functools.partial(losses.zero_one, independent=independent)
    return mean(lambda o, y: 1 - wrong(o, y))(o, y, weight)


def log_loss(o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False) -> Value:
    """The weighted mean of −log p(y), in nats, from logits: softmax of k, sigmoid of one.

    One logit is (n,) or (n, 1); ``y`` is as in ``accuracy``. ``independent=True`` takes the
    sigmoid of each of k logits, and the mean over them. ``sklearn.metrics.log_loss``, which takes
    probabilities.
    """
    o, y = _column(o, "o"), _column(y, "y")
    weight = _weights(weight, o)
    y = _targets(o, y, weight, independent=independent)
    if o.ndim == 1 or independent:
        return mean(lambda o, y: losses.logistic(o, y) / o.size)(_floats(o), y, weight)
    return mean(losses.softmax_cross_entropy)(_floats(o), y, weight)


def mse(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The weighted mean of (o − y)², over examples and outputs: no ½.

    ``sklearn.metrics.mean_squared_error``; torch's ``MSELoss``.
    """
    o, y = _pair(o, y)
    return mean(lambda o, y: jnp.mean(jnp.square(o - y)))(o, y, weight)


def r2(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """1 − Σ w (y − o)² / Σ w (y − ȳ)², averaged over outputs; ``sklearn.metrics.r2_score``.

    For a constant target it is 0, or 1 where the predictions equal the target exactly.
    """
    o, y = _pair(o, y)
    o, y, weight = readable(Batch(o, y, _weights(weight, o)))
    unexplained = weighted_mean(jnp.square(y - o), weight)
    first = y[0 if weight is None else jnp.argmax(weight != 0)]
    change = y - first[None]  # exactly 0 where y is constant: y − ȳ is 0 only up to rounding
    total = weighted_mean(jnp.square(change - weighted_mean(change, weight)[None]), weight)
    constant = (where_present(weight, change) == 0).all(axis=0)
    ratio = jnp.where(constant, unexplained > 0, unexplained / jnp.where(constant, 1, total))
    return jnp.mean(1 - ratio)


def mean(loss: Callable) -> Callable:
    """The metric that is the weighted mean of ``loss`` over examples, without a penalty."""

    def metric(o, y, weight=None):
        weight = _weights(weight, o)
        each, weight = each_loss(loss, jnp.asarray(o), jnp.asarray(y), weight)
        return weighted_mean(_floats(each), weight)

    return metric


def _weights(weight, o):
    return checks.weights(weight, len(o), jnp.result_type(float))


def _column(rows, name: str):
    """The rows as (n,) or (n, k), k ≥ 2: (n, 1) becomes (n,). Narrow integers become int32."""
    rows = checks.numeric(rows, name)
    if rows.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {rows.shape}; expected (n,) or (n, k).")
    if not jnp.issubdtype(rows.dtype, jnp.floating) and rows.dtype.itemsize < 4:
        rows = rows.astype(np.int32)
    return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows


def _targets(o, y, weight, *, independent: bool, named: bool = False):
    """y as targets of o: labels, distributions, or a number for each output.

    Invalid ones raise an error, or, where they are traced, become NaN, and labels -1. ``named``:
    the outputs are labels themselves, any integers.
    """
    shape, expected, fine = _expected(o, y, independent, named)
    if y.shape != shape:
        raise ValueError(f"y has shape {y.shape} beside outputs {o.shape}; expected {expected}.")
    if not checks.is_traced(y, weight):
        host, present = np.asarray(y), True if weight is None else np.asarray(weight) != 0
        wrong = ~fine(host, np)
        wrong = wrong & np.reshape(present, (-1, *[1] * (wrong.ndim - 1)))
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0].tolist())
            raise ValueError(
                f"y[{', '.join(map(str, place))}] is {host[place].tolist()}; expected {expected}."
            )
    y = jnp.asarray(y)
    sound = fine(y, jnp)
    if y.ndim == 1 and o.ndim == 2:
        return jnp.where(sound, y, -1).astype(jnp.int32)
    if named and not jnp.issubdtype(y.dtype, jnp.floating) and y.shape == o.shape:
        return y  # any integer is a label
    y = jnp.where(sound.reshape(*sound.shape, *[1] * (y.ndim - sound.ndim)), _floats(y), jnp.nan)
    return jnp.where(sound, jnp.argmax(y, axis=1), jnp.nan) if y.ndim > o.ndim else y


def _expected(o, y, independent: bool, named: bool):
    """The expected shape of y, its valid values in words, and a test of them in ``xp``."""
    n, *k = o.shape
    if k and not independent and y.ndim == 1:
        words = f"labels 0 … {k[0] - 1}, ({n},)"
        return (n,), words, lambda y, xp: (y >= 0) & (y < k[0]) & (y == xp.floor(y))
    if not independent and (k or (named and y.ndim == 2)):
        shape = o.shape if k else y.shape
        words = f"{shape}, whose rows sum to 1; independent=True is for rows of several labels"
        return shape, words, checks.is_distribution
    if named:
        words = f"labels {o.shape}, whole numbers"
        return o.shape, words, lambda y, xp: xp.isfinite(y) & (y == xp.floor(y))
    return o.shape, f"numbers in [0, 1], {o.shape}", lambda y, xp: (y >= 0) & (y <= 1)


def _differ(named, y):
    return jnp.mean(jnp.where(jnp.isnan(y), jnp.nan, named != y))


def _pair(o, y):
    """o and y, of one shape, in the floating dtype that holds both, float32 at least."""
    o, y = checks.numeric(o, "o"), checks.numeric(y, "y")
    checks.same_shape(o, y)
    o, y = jnp.asarray(o), jnp.asarray(y)
    dtype = jnp.promote_types(jnp.result_type(o, y, float), jnp.float32)
    return o.astype(dtype), y.astype(dtype)


def _floats(rows):
    rows = jnp.asarray(rows)
    return rows.astype(jnp.promote_types(jnp.result_type(rows, float), jnp.float32))
