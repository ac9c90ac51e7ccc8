"""What a fit is told before tracing, and what all fits of a path share."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from jaxlinear import checks
from jaxlinear.convex import row_space
from jaxlinear.convex.preconditioners import choice
from jaxlinear.convex.preconditioners.cholesky import cholesky, cholesky_of_classes
from jaxlinear.convex.preconditioners.form import Curvature
from jaxlinear.convex.preconditioners.frozen import frozen
from jaxlinear.model.declaration import has_classes, is_kinked, is_separable, target_of
from jaxlinear.rows.blocks import shards_of
from jaxlinear.rows.means import floating_dtype
from jaxlinear.types import Batch, Fit, Linear

MOST_STEPS = 1000  # in a fit, unless told otherwise
_FEW, _ROOM = 50, 2000**2  # coefficients, and numbers, of a Hessian that is kept for all models
_ROOM_OF_ALL = 2**26  # numbers, of the Hessians that are kept for one model each


class Setting(NamedTuple):
    """What is known before tracing."""

    loss: Callable
    intercept: bool
    form: Curvature
    most: int
    separate: bool
    warm: bool
    in_rows: bool
    shards: int = 1


class Data(NamedTuple):
    """What all fits of a path share."""

    batch: Batch
    offset: Float[Array, "n *k"] | None
    tol: Float[ArrayLike, ""]
    sound: Bool[ArrayLike, ""]


def arranged(
    loss, x, y, outputs, offset, weight, intercept, tol, max_steps, init, *, near=False, fits=1
):
    """What is known before tracing, the data, and where to start: all of it checked."""
    if near and init is None:
        raise ValueError("near needs init: the fit of all examples, for example; got None.")
    require_smooth(loss)
    batch, shape, sound = checks.examples(
        x, y, weight, target_of(loss), outputs=outputs, look=False
    )
    dtype = floating_dtype(batch.x)
    tol = checks.number(10 * jnp.finfo(dtype).eps if tol is None else tol, "tol", dtype)
    data = Data(batch, checks.offset(offset, batch, shape), tol, sound)
    most = checks.count(max_steps, "max_steps")
    warm = init is not None
    setting = setting_of(
        loss, batch.x, shape, bool(intercept), most, warm=warm, near=near, fits=fits
    )
    setting = setting._replace(shards=shards_of(x))
    return setting, data, start_from(init, batch.x, shape, dtype)


def require_smooth(loss: Callable) -> None:
    """Raise ValueError for a loss with kinks."""
    if is_kinked(loss):
        name = getattr(loss, "__name__", loss)
        raise ValueError(f"{name} has kinks; expected a smooth loss. Use sgd_fit, or huber.")


def setting_of(
    loss: Callable,
    x,
    shape: tuple[int, ...],
    intercept: bool,
    most: int,
    *,
    warm: bool,
    near: bool = False,
    fits: int = 1,
) -> Setting:
    """The form of the Hessian, and whether fits are made in the row space, by the sizes alone."""
    examples, features = x.shape
    separate = bool(shape) and is_separable(loss)
    models = shape[0] if separate else 1
    together = 1 if separate or not shape else shape[0]
    in_rows = row_space.pays(examples, features, together * models, fits)
    width = (examples if in_rows else features) + intercept
    form = choice.choose(examples, together, width, models, fits)
    if near and together * width >= _FEW and models * (together * width) ** 2 <= _ROOM:
        form = frozen
    if form is cholesky and has_classes(loss):
        form = cholesky_of_classes
    return Setting(loss, intercept, form, most, separate, warm, in_rows)


def with_room(models: int, coefficients: int) -> int:
    """How many models may begin ``near``, at a time, at places of their own: with a Hessian each.

    All, where there are too many coefficients for any to keep one.
    """
    numbers = coefficients**2
    return models if numbers > _ROOM else min(models, _ROOM_OF_ALL // numbers)


def start_from(init: Linear | Fit | None, x, shape: tuple[int, ...], dtype) -> Linear:
    """Where a fit starts: at ``init``, or at 0."""
    if init is None:
        zero = np.zeros((*shape, x.shape[1]), dtype)
        return Linear(zero, zero[..., 0])
    params = init.params if isinstance(init, Fit) else init
    return Linear(
        *(jnp.asarray(leaf, dtype) for leaf in checks.parameters(params, "init", shape, x))
    )
