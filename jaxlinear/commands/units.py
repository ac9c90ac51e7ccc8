"""The columns of a file in standard units, and the parameters back in the file's own."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxlinear as jl


class Units(NamedTuple):
    """What is 0 and what is 1 in every column: (d,) each, or numbers for all columns."""

    shift: np.ndarray | float
    scale: np.ndarray | float


AS_THEY_ARE = Units(0.0, 1.0)


def standard(x) -> Units:
    """Mean and standard deviation of every column; bytes stay as they are."""
    if x.dtype == np.uint8:
        return AS_THEY_ARE
    wide = np.asarray(x, np.float64)
    scale = wide.std(axis=0)
    return Units(wide.mean(axis=0), np.where(scale == 0, 1.0, scale))


def convert(batch: jl.Batch | None, units: Units) -> jl.Batch | None:
    """The batch with (x − shift) / scale for x."""
    if batch is None or units is AS_THEY_ARE:
        return batch
    x = (np.asarray(batch.x, np.float64) - units.shift) / units.scale
    return batch._replace(x=x.astype(batch.x.dtype))


def fold_back(params: jl.Linear, units: Units) -> jl.Linear:
    """The map w ((x − shift) / scale) + b as parameters of x itself."""
    w = np.asarray(params.w, np.float64) / units.scale
    b = np.asarray(params.b, np.float64) - (w * units.shift).sum(axis=-1)
    return jl.Linear(jnp.asarray(w, params.w.dtype), jnp.asarray(b, params.b.dtype))


def express(params: jl.Linear, units: Units) -> jl.Linear:
    """The map w x + b as parameters of (x − shift) / scale; ``fold_back`` undoes it."""
    w = np.asarray(params.w, np.float64)
    b = np.asarray(params.b, np.float64) + (w * units.shift).sum(axis=-1)
    return jl.Linear(jnp.asarray(w * units.scale, params.w.dtype), jnp.asarray(b, params.b.dtype))
