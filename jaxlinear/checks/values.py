"""Checks of values where they are known: NaN, inf, and rows that are not distributions."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Shaped

from jaxlinear.checks import digits
from jaxlinear.checks.arguments import features
from jaxlinear.checks.arrays import is_known, is_traced, numeric
from jaxlinear.types import Batch


def known_now(check: Callable) -> Callable:
    """Run a check on values that are known, even while another function is being traced.

    Without it, ``jax.jit(lambda lr: fit(x, y, lr))`` would only trace the check of x, not run it.
    """

    @functools.wraps(check)
    def look(*arguments, **options):
        if is_traced(arguments, options):
            return check(*arguments, **options)
        with jax.ensure_compile_time_eval():
            return check(*arguments, **options)

    return look


@known_now
def finite(x, *, width: int | None = None) -> Shaped[Array, "n d"]:
    """The features of x, which must not hold NaN or inf where its values are known."""
    given, x = x, features(x, width=width)
    if is_known(x) and x.dtype != jnp.uint8 and not jax.device_get(finite_rows(x)).all():
        raise_not_finite(x, numeric(given, "x"))
    return x


def finite_where_present(batch: Batch) -> Bool[Array, ""]:
    """Whether x and y are finite in all examples that have weight."""
    y = batch.y.reshape(len(batch.y), -1)
    finite = finite_rows(batch.x) & jnp.isfinite(y).all(axis=-1)
    return jnp.all(finite if batch.weight is None else finite | (batch.weight == 0))


@jax.jit
def finite_rows(x):
    """Whether all numbers of a row are finite."""
    return jnp.isfinite(x).all(axis=-1)


def raise_not_finite(x, given, present=True) -> None:
    """Refuse x by the first of its entries that is not finite."""
    bad = ~np.isfinite(np.asarray(x)) & np.reshape(present, (-1, 1))
    digits.require_room("x", given, bad, x.dtype)
    row, column = np.argwhere(bad)[0]
    raise ValueError(
        f"x[{row}, {column}] is {np.asarray(x)[row, column]}; expected finite numbers. Mend "
        "it, or give the row weight 0."
    )


def is_distribution(p, xp) -> Bool[ArrayLike, "*batch"]:
    """Whether the numbers along the last axis are ≥ 0 and sum to 1, up to the dtype's rounding."""
    dtype = jnp.result_type(p, float)  # whole numbers and booleans are numbers too
    slack = 8 * math.sqrt(jnp.finfo(dtype).eps)
    wide = jnp.promote_types(dtype, jnp.float32)  # a sum in bfloat16 stalls below 1
    return (p >= 0).all(axis=-1) & (xp.abs(p.sum(axis=-1, dtype=wide) - 1) <= slack)
