"""Which targets are labels, and the weights that every class and every target has."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.model.declaration import target_of

CLASSES = ("labels", "probabilities", "signs")  # the targets that are classes


def require_class_weight(class_weight: str | None, loss: Callable) -> None:
    """Raise ValueError unless it is None, or "balanced" and the loss one of classes."""
    if class_weight not in (None, "balanced") or (class_weight and target_of(loss) not in CLASSES):
        raise ValueError(
            f"class_weight is {class_weight!r} and the loss {getattr(loss, '__name__', loss)}; "
            'expected "balanced" and a loss of classes, or None.'
        )


def labelled(y, loss: Callable, *, in_columns: bool):
    """y with a valid target in the place of NaN, and where it was none; None where all are.

    ``in_columns``: every column of y (n, k) is a target of its own; else a row is one.
    """
    y = checks.numeric(y, "y")
    if not checks.is_known(y) or not jnp.issubdtype(y.dtype, jnp.floating):
        return y, None
    y = np.asarray(y)
    known = ~np.isnan(y)
    if known.all() or (y.ndim == 2 and not in_columns):
        return y, None
    y = np.where(known, y, 1)  # a valid target of every kind
    whole = target_of(loss) == "labels" and (y == np.floor(y)).all()  # floats by NaN alone
    return y.astype(np.int32) if whole else y, known


def where_labelled(known, weight, shape: tuple[int, ...]):
    """A weight for every target, of the given shape: 0 where there is no label."""
    n, *outputs = shape
    weight = checks.weights(weight, n, jnp.result_type(float), tuple(outputs))
    if weight is None:
        weight = jnp.ones(n)
    elif checks.is_known(weight):  # under vmap a negative weight would be a status
        host = np.asarray(weight)
        wrong = np.argwhere(~(np.isfinite(host) & (host >= 0)))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            where = ", ".join(map(str, place))
            raise ValueError(f"weight[{where}] is {host[place]}; expected finite weights ≥ 0.")
    weight = weight if weight.shape == shape else jnp.broadcast_to(weight[:, None], shape)
    return weight if known is None else jnp.where(known, weight, 0)


def balanced(loss: Callable, y, weight, shape: tuple[int, ...]):
    """Weights whose sum is the same for every class that occurs, and in all as it was."""
    if target_of(loss) == "labels":
        if y.ndim == 2:
            raise ValueError(f"y has shape {y.shape}; expected labels (n,) with class_weight.")
        label, classes = y, shape[0]
    else:
        label, classes = (y > (0 if target_of(loss) == "signs" else 0.5)).astype(int), 2
    hot = jax.nn.one_hot(label, classes, dtype=weight.dtype)
    sums = jnp.sum(hot * weight[:, None], axis=0)
    share = jnp.sum(weight) / jnp.sum(sums > 0)
    return weight * (share / jnp.where(sums > 0, sums, 1))[label]
