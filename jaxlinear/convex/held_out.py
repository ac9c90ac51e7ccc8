"""Scores of held-out rows, and the penalty that they choose."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxlinear.choice import least
from jaxlinear.endings import usable
from jaxlinear.model import losses
from jaxlinear.model.affine import predict
from jaxlinear.model.declaration import target_of
from jaxlinear.model.metrics import mean
from jaxlinear.types import Fit, Status

DECISIONS = {  # made once, since a program is compiled for each
    "labels": losses.zero_one,
    "probabilities": functools.partial(losses.zero_one, independent=True),
}


def error_of(loss: Callable) -> Callable:
    """The error by which penalties are compared: decisions of classes, else the loss."""
    return DECISIONS.get(target_of(loss), loss)


def mean_error(error: Callable, separate: bool, fit: Fit, x, y, held, offset=None):
    """The mean error of the rows that are held out, NaN where there is none, and how it came."""

    def score(params, y, offset):
        o = predict(params, x)
        return mean(error)(o if offset is None else o + offset, y, held)

    if separate:
        score = jax.vmap(score, in_axes=(0, 1, None if offset is None else 1))
    scores = score(fit.params, y, offset)
    end = jnp.where(jnp.any(held > 0), fit.report.status, Status.NONFINITE_INPUT)
    return jnp.where(usable(end), scores, jnp.nan), end


@functools.partial(jax.jit, static_argnums=(0, 1))
def scores_of(error: Callable, separate: bool, path: Fit, x, y, held):
    """The errors of all fits of a path, and how they ended."""
    return jax.lax.map(lambda one: mean_error(error, separate, one, x, y, held), path)


@jax.jit
def chosen(scores, l2s, candidates):
    """The candidates of the least score, for every output where scores are (m, k); ``blind``."""
    best, blind = least(scores, l2s)
    each = jnp.arange(best.size)
    return jax.tree.map(
        lambda leaf: leaf[best] if best.ndim == 0 or leaf.ndim == 1 else leaf[best, each],
        candidates,
    ), blind
