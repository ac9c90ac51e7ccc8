"""Standardised columns of a file, and parameters converted back to the units of the file.

Both are computed in double precision, and so are the predictions of the command line: single
precision would leave no digit of columns far from 0, such as seconds since 1970.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxlinear as jl
from jaxlinear.data.single_precision import mean_and_deviation

_ROWS = 65536  # at a time, so that a large table is not copied in double precision


class Units(NamedTuple):
    """The origin (shift) and unit (scale) of every column: (d,) each, or numbers for all columns.

    A column whose scale is 0 is constant: it becomes 0, and so does its weight.
    """

    shift: np.ndarray | float
    scale: np.ndarray | float


AS_THEY_ARE = Units(0.0, 1.0)


def standard(batch: jl.Batch) -> Units:
    """Mean and standard deviation of every column, over rows of weight > 0; bytes stay as is."""
    if batch.x.dtype == np.uint8:
        return AS_THEY_ARE
    present = batch.weight if batch.weight is not None and batch.weight.any() else None
    return Units(*mean_and_deviation(batch.x if present is None else batch.x[present != 0]))


def exact(batch: jl.Batch) -> Units:
    """Columns that single precision holds exactly stay; the others are shifted by their mean."""
    shift, scale = standard(batch)
    if np.ndim(scale) == 0:
        return AS_THEY_ARE
    with np.errstate(over="ignore"):
        held = (batch.x.astype(np.float32) == batch.x).all(axis=0)
    return Units(np.where(held, 0.0, shift), np.where(held | (scale != 0), 1.0, 0.0))


def convert(batch, units: Units):
    """The batch with (x − shift) / scale for x."""
    if batch is None or units is AS_THEY_ARE:
        return batch
    x = np.empty(batch.x.shape, np.promote_types(jnp.result_type(float), np.float32))
    per = _per(units)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        x[rows] = (np.asarray(batch.x[rows], np.float64) - units.shift) * per
    return batch._replace(x=x)


def fold_back(params: jl.Linear, units: Units) -> jl.Linear:
    """The map w ((x − shift) / scale) + b as parameters of x itself, in double precision."""
    if units is AS_THEY_ARE:
        return params
    w = np.asarray(params.w, np.float64) * _per(units)
    return jl.Linear(w, np.asarray(params.b, np.float64) - (w * units.shift).sum(axis=-1))


def express(params: jl.Linear, units: Units) -> jl.Linear:
    """The map w x + b as parameters of (x − shift) / scale; ``fold_back`` undoes it."""
    w = np.asarray(params.w, np.float64)
    b = np.asarray(params.b, np.float64) + (w * units.shift).sum(axis=-1)
    return jl.Linear(w * units.scale, b)


def _per(units: Units) -> np.ndarray:
    return np.divide(1.0, units.scale, out=np.zeros_like(units.scale), where=units.scale != 0)
