"""Metrics that are weighted means of a loss over examples."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxlinear.model import losses
from jaxlinear.model.declaration import family_of
from jaxlinear.model.families import Family
from jaxlinear.model.metrics import forms
from jaxlinear.model.metrics.forms import Scores, Targets, Value, Weight
from jaxlinear.model.objective import each_loss
from jaxlinear.rows.sums import accurate_mean


def mean(loss: Callable) -> Callable:
    """The metric that is the weighted mean of ``loss`` over examples, without a penalty."""

    def metric(o, y, weight=None):
        weight = forms.weights(weight, o)
        each, weight = each_loss(loss, jnp.asarray(o), jnp.asarray(y), weight)
        return accurate_mean(forms.floats(each), weight)

    return metric


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
    o, y = forms.column(o, "o"), forms.column(y, "y")
    weight = forms.weights(weight, o)
    named = not jnp.issubdtype(o.dtype, jnp.floating) and (o.ndim == 1 or independent)
    y = forms.targets(o, y, weight, independent=independent, named=named)
    wrong = _differ if named else functools.partial(losses.zero_one, independent=independent)
    return mean(lambda o, y: 1 - wrong(o, y))(o, y, weight)


def _differ(named, y):
    return jnp.mean(jnp.where(jnp.isnan(y), jnp.nan, named != y))


def log_loss(o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False) -> Value:
    """The weighted mean of −log p(y), in nats, from logits: softmax of k, sigmoid of one.

    One logit is (n,) or (n, 1); ``y`` is as in ``accuracy``. ``independent=True`` takes the
    sigmoid of each of k logits, and the mean over them. ``sklearn.metrics.log_loss``, which takes
    probabilities.
    """
    o, y = forms.column(o, "o"), forms.column(y, "y")
    weight = forms.weights(weight, o)
    y = forms.targets(o, y, weight, independent=independent)
    if o.ndim == 1 or independent:
        return mean(lambda o, y: losses.logistic(o, y) / o.size)(forms.floats(o), y, weight)
    return mean(losses.softmax_cross_entropy)(forms.floats(o), y, weight)


def brier(o: Scores, y: Targets, weight: Weight = None, *, independent: bool = False) -> Value:
    """The weighted mean of the squared error of probabilities, from logits (Brier, 1950).

    For one logit, two classes, and each of k labels with ``independent=True``, (p − y)², in
    [0, 1]; for k classes Σ_k (p_k − y_k)², in [0, 2]. ``sklearn.metrics.brier_score_loss``, which
    takes probabilities. ``o`` and ``y`` are as in ``log_loss``.

    >>> print(brier(jnp.array([0.0, 0.0]), jnp.array([0, 1])))
    0.25
    """
    o, y, weight = forms.logits(o, y, weight, independent=independent)
    share = jax.nn.sigmoid if o.ndim == 1 or independent else jax.nn.softmax
    count = o.shape[1] if independent and o.ndim == 2 else 1
    return mean(lambda o, y: jnp.sum(jnp.square(share(o) - y)) / count)(o, y, weight)


def mse(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The weighted mean of (o − y)², over examples and outputs: no ½.

    ``sklearn.metrics.mean_squared_error``; torch's ``MSELoss``.
    """
    o, y = forms.pair(o, y)
    return mean(lambda o, y: jnp.mean(jnp.square(o - y)))(o, y, weight)


def rmse(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The root of the weighted mean of (o − y)², averaged over outputs; in the unit of y.

    ``sklearn.metrics.root_mean_squared_error``.

    >>> print(rmse(jnp.array([0.0, 0.0]), jnp.array([3.0, -3.0])))
    3.0
    """
    o, y = forms.pair(o, y)
    columns = (rows.reshape(len(rows), -1) for rows in (o, y))
    squares = jax.vmap(mse, (1, 1, None))(*columns, weight)
    positive = squares > 0
    return jnp.mean(jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), squares))


def mae(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """The weighted mean of |o − y|, over examples and outputs; in the unit of y.

    ``sklearn.metrics.mean_absolute_error``; torch's ``L1Loss``.

    >>> print(mae(jnp.array([0.0, 0.0]), jnp.array([1.0, -3.0])))
    2.0
    """
    o, y = forms.pair(o, y)
    return mean(lambda o, y: jnp.mean(jnp.abs(o - y)))(o, y, weight)


def deviance(loss: Callable) -> Callable:
    """The metric 2 · weighted mean of loss(o, y) − min_o loss(o, y), for a loss with a family.

    With ``losses.poisson`` it is ``sklearn.metrics.mean_poisson_deviance``, with ``losses.gamma``
    ``mean_gamma_deviance``, of the outputs o, the logarithms of the predicted means. Raises
    ValueError for a loss without a likelihood, such as ``losses.huber``.

    >>> print(deviance(jl.losses.poisson)(jnp.zeros(2), jnp.array([1, 1])))
    0.0
    """
    family = likelihood(loss)
    return mean(lambda o, y: 2 * (loss(o, y) - family.least(y)))


def likelihood(loss: Callable) -> Family:
    """The family of a loss, or ValueError."""
    family = family_of(loss)
    if family is None:
        name = getattr(loss, "__name__", loss)
        raise ValueError(f"{name} is no likelihood; expected a loss such as losses.poisson.")
    return family
