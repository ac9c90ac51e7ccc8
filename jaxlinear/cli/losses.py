"""The losses by name, and what each of them means: classes, signs, logarithms of means."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear.model import losses
from jaxlinear.model.declaration import family_of, target_of

LOSSES = {
    loss.__name__: loss
    for loss in (
        losses.squared_error,
        losses.softmax_cross_entropy,
        losses.logistic,
        losses.poisson,
        losses.gamma,
        losses.huber,
        losses.absolute,
        losses.quantile,
        losses.hinge,
        losses.squared_hinge,
    )
}


def is_classifier(loss: str) -> bool:
    """Whether the targets of a loss are classes."""
    return target_of(LOSSES[loss]) in ("labels", "probabilities") or has_signs(loss)


def has_signs(loss: str) -> bool:
    """Whether the targets of a loss are −1 and 1, and its outputs distances to a border."""
    return target_of(LOSSES[loss]) == "signs"


def is_independent(loss: str) -> bool:
    """Whether every output of a loss decides on its own: several labels may hold at once."""
    return is_classifier(loss) and loss != "softmax_cross_entropy"


def mean_of(loss: str, o: np.ndarray) -> np.ndarray:
    """The prediction of y: its mean, where the loss has a family, else the outputs."""
    family = family_of(LOSSES[loss])
    if family is None:
        return o
    with jax.enable_x64(True):  # a table of numbers is computed in double precision
        return np.asarray(jax.jit(family.mean)(o))


def has_log_mean(loss: str) -> bool:
    """Whether the outputs of a loss are the logarithm of what is predicted."""
    family = family_of(LOSSES[loss])
    return family is not None and family.mean is jnp.exp
