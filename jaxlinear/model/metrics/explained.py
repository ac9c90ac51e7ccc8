"""What a model explains, compared with the best constant prediction."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxlinear.model.declaration import has_classes
from jaxlinear.model.metrics import forms
from jaxlinear.model.metrics.forms import Scores, Targets, Value, Weight
from jaxlinear.model.metrics.means import deviance, likelihood
from jaxlinear.rows.absent import readable, where_present
from jaxlinear.rows.sums import accurate_mean
from jaxlinear.types import Batch


def r2(o: Scores, y: Targets, weight: Weight = None) -> Value:
    """1 − Σ w (y − o)² / Σ w (y − ȳ)², averaged over outputs; ``sklearn.metrics.r2_score``.

    For a constant target it is 0, or 1 where the predictions equal the target exactly.
    """
    o, y = forms.pair(o, y)
    o, y, weight = readable(Batch(o, y, forms.weights(weight, o)))
    unexplained = accurate_mean(jnp.square(y - o), weight)
    change = _change(y, weight)
    total = accurate_mean(jnp.square(change - accurate_mean(change, weight)[None]), weight)
    constant = (where_present(weight, change) == 0).all(axis=0)
    ratio = jnp.where(constant, unexplained > 0, unexplained / jnp.where(constant, 1, total))
    return jnp.mean(1 - ratio)


def d2(loss: Callable) -> Callable:
    """The metric 1 − deviance / deviance of the best constant outputs, for a loss with a family.

    The share of the deviance that the model explains: r² for ``squared_error``,
    ``sklearn.metrics.d2_tweedie_score(power=1)`` for ``poisson`` and ``power=2`` for ``gamma``,
    ``d2_log_loss_score`` for classes (McFadden's R²). For a constant target it is 0, or 1 where
    nothing is left unexplained. Raises ValueError for a loss without a likelihood.

    >>> y = jnp.array([0, 1, 2, 5])
    >>> print(d2(jl.losses.poisson)(jnp.full(4, jnp.log(2.0)), y).round(6))
    0.0
    """
    family, measure = likelihood(loss), deviance(loss)

    def metric(o, y, weight=None):
        o, y = jnp.asarray(o), jnp.asarray(y)
        weight = forms.weights(weight, o)
        labels = has_classes(loss) and y.ndim == 1
        shares = jax.nn.one_hot(y, o.shape[-1]) if labels else forms.floats(y)
        _, shares, sound = readable(Batch(shares, shares, weight))
        change = where_present(weight, _change(shares, weight))
        constant = jnp.all(change == 0)
        center = accurate_mean(shares, sound)
        null = jnp.broadcast_to(family.link(center)[None].astype(o.dtype), o.shape)
        left = measure(o, y, weight)
        all_of_it = jnp.where(constant, 1, measure(jnp.where(constant, o, null), y, weight))
        return 1 - jnp.where(constant, left > 0, left / all_of_it)

    return metric


def _change(y, weight):
    """y minus its first present row: exactly 0 where y is constant; y − ȳ is so up to rounding."""
    return y - y[0 if weight is None else jnp.argmax(weight != 0)][None]
