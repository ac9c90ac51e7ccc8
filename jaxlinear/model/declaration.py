"""What a loss declares: its targets, whether it is separable or has kinks, its likelihood."""

import functools
from collections.abc import Callable

import jax.numpy as jnp

from jaxlinear.model.families import Family


def target(kind: str) -> Callable:
    """Declare the targets that a loss accepts; ``checks.TARGETS`` lists the kinds."""

    def declare(loss: Callable) -> Callable:
        loss.target = kind
        return loss

    return declare


def in_floats(loss: Callable) -> Callable:
    """Compute a loss in floating point, in float32 at least, and return it in the dtype of o."""

    @functools.wraps(loss)
    def compute(o, y, *options, **named):
        o = jnp.asarray(o)
        dtype = jnp.result_type(o, float)
        wide = jnp.promote_types(dtype, jnp.float32)
        return loss(o.astype(wide), jnp.asarray(y), *options, **named).astype(dtype)

    return compute


def separable(loss: Callable) -> Callable:
    """Declare that the loss of k outputs is a sum over outputs: a fit is k models that share x."""
    loss.separable = True
    return loss


def kinked(loss: Callable) -> Callable:
    """Declare that the loss has kinks and no useful second derivative: for SGD, not for Newton."""
    loss.kinked = True
    return loss


def target_of(loss: Callable) -> str:
    """The kind of targets that ``loss``, or the loss in a ``functools.partial``, accepts."""
    return _declared(loss, "target", "real")


def is_separable(loss: Callable) -> bool:
    """Whether the loss of k outputs is known to be a sum over outputs."""
    return _declared(loss, "separable", False)


def is_kinked(loss: Callable) -> bool:
    """Whether the loss is known to have kinks."""
    return _declared(loss, "kinked", False)


def family(of: Family) -> Callable:
    """Declare the likelihood of a loss, from which deviances and standard errors are taken."""

    def declare(loss: Callable) -> Callable:
        loss.family = of
        return loss

    return declare


def family_of(loss: Callable) -> Family | None:
    """The declared likelihood of ``loss``; None where a ``functools.partial`` sets an option.

    ``functools.partial(softmax_cross_entropy, label_smoothing=0.1)`` accepts the same targets as
    its loss, but is not a negative log-likelihood of them.
    """
    while isinstance(loss, functools.partial) and not (loss.args or loss.keywords):
        loss = loss.func
    return None if isinstance(loss, functools.partial) else getattr(loss, "family", None)


def _declared(loss: Callable, name: str, otherwise):
    while isinstance(loss, functools.partial):
        loss = loss.func
    return getattr(loss, name, otherwise)


def has_classes(loss: Callable) -> bool:
    """Whether targets are labels of mutually exclusive classes."""
    return target_of(loss) == "labels"
