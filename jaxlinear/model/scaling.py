"""Columns of mean 0 and variance 1, and the way back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.rows.absent import power_of_two, readable, weighted_mean, where_present
from jaxlinear.rows.means import away_from, floating, mean_of_rows
from jaxlinear.types import Batch, Linear


class Scaling(NamedTuple):
    """What ``standardise`` does to x: z = (x − shift) · scale, column by column.

    ``shift`` is the mean, in the unit of x, and ``scale`` is 1 / the standard deviation, or 0 for
    a column that is constant. A stack of scalings has leading axes.
    """

    shift: Float[Array, "*models d"]
    scale: Float[Array, "*models d"]


def standardise(
    x, weight=None, *, scaling: Scaling | None = None
) -> tuple[Float[Array, "n d"], Scaling]:
    """z = (x − m) / s, m = Σ w x / Σ w and s² = Σ w (x − m)² / Σ w, and its ``Scaling``.

    x is (n, d), uint8 in [0, 1]; ``weight`` (n,) ≥ 0 says which rows the means and deviations are
    of: with 0 for the rows that a fold holds out, nothing of them is known, though z has them all.
    A column that is constant where there is weight becomes 0, in all rows. ``scaling`` is one that
    was made before, of other rows. ``unstandardise`` turns a fit of z into one of x.

    scikit-learn's ``StandardScaler``, whose ``scale_`` is 1 / ours. Raises ValueError for NaN or
    inf in rows of nonzero weight; under ``jit`` the scaling is then NaN.

    >>> x, weight = jnp.array([[1.0, 5.0], [3.0, 5.0], [9.0, 6.0]]), jnp.array([1, 1, 0])
    >>> z, scaling = standardise(x, weight)
    >>> print(z, scaling.shift)
    [[-1.  0.]
     [ 1.  0.]
     [ 7.  0.]] [2. 5.]
    """
    if scaling is not None and weight is not None:
        raise ValueError("standardise got scaling and weight; expected one of them, or neither.")
    if scaling is None:
        (x, _, weight), _, sound = checks.examples(x, np.zeros(np.shape(x)[:1]), weight, "real")
        scaling = _scaling_of(x, weight, sound)
    x = checks.features(x)
    scaling = Scaling(*map(jnp.asarray, scaling))
    if scaling.shift.shape != x.shape[1:] or scaling.scale.shape != x.shape[1:]:
        raise ValueError(
            f"scaling is of {scaling.shift.shape} and {scaling.scale.shape}; expected one of the "
            f"{x.shape[1]} columns of x, twice ({x.shape[1]},)."
        )
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else scaling.shift.dtype
    return _scaled(x, scaling).astype(dtype), scaling


def unstandardise(params: Linear, scaling: Scaling) -> Linear:
    """The parameters of x itself that have the outputs of ``params`` on z = (x − shift) · scale.

    w = scale · w_z and b = b_z − w shift. ``w`` is (*models, *outputs, d), and the scaling
    (*models, d), or (d,) for all alike.

    >>> z, scaling = standardise(jnp.array([[1.0], [3.0]]))
    >>> print(unstandardise(jl.Linear(jnp.array([2.0]), jnp.array(1.0)), scaling))
    Linear(w=Array([2.], dtype=float32), b=Array(-3., dtype=float32))
    """
    w, b = (jnp.asarray(leaf) for leaf in params)
    shift, scale = (jnp.asarray(leaf) for leaf in scaling)
    models = shift.shape[:-1]
    if (
        shift.shape != scale.shape
        or w.shape[: len(models)] != models
        or w.shape[-1:] != shift.shape[-1:]
    ):
        raise ValueError(
            f"scaling is of {shift.shape} and {scale.shape} and w {w.shape}; expected the same "
            "leading axes, of models, and the same features."
        )
    between = [1] * (w.ndim - shift.ndim)
    shift, scale = (leaf.reshape(*models, *between, shift.shape[-1]) for leaf in (shift, scale))
    w = w * scale
    return Linear(w.astype(params.w.dtype), (b - jnp.sum(w * shift, axis=-1)).astype(b.dtype))


@jax.jit
def _scaling_of(x, weight, sound) -> Scaling:
    batch = readable(Batch(x, jnp.zeros(len(x), jnp.int32), weight))
    mean = mean_of_rows(batch, "x")
    away = where_present(weight, away_from(batch, "x", mean))
    # In units of the largest, no square overflows or underflows.
    unit = power_of_two(jax.lax.stop_gradient(jnp.max(jnp.abs(away), axis=0)))
    variance = weighted_mean(jnp.square(away / unit[None]), batch.weight)
    constant = variance == 0
    scale = jnp.where(constant, 0, 1 / (unit * jnp.sqrt(jnp.where(constant, 1, variance))))
    return Scaling(*(jnp.where(sound, leaf, jnp.nan) for leaf in (mean, scale)))


@jax.jit
def _scaled(x, scaling: Scaling):
    return (floating(x) - scaling.shift[None]) * scaling.scale[None]
