"""Numbers and counts that a caller passes: l2, tol, steps."""

import math

import numpy as np

from jaxlinear.checks import digits
from jaxlinear.checks.arrays import is_known, numeric


def number(
    value, name: str, dtype, *, at_least: float | int = 0, below: float = math.inf, shape=()
):
    """A number in ``dtype``; where it is not traced it must lie in [at_least, below).

    It may also have one other ``shape``: a number for every output.
    """
    array = numeric(value, name)
    if array.shape not in ((), shape):
        raise ValueError(
            f"{name} has shape {array.shape}; expected a number{f' or {shape}' if shape else ''}. "
            f"For many models at once use jax.vmap over {name}."
        )
    if not is_known(array):
        return array.astype(dtype)
    host = np.asarray(array)
    if not ((host >= at_least) & (host < below)).all():
        raise ValueError(f"{name} is {value}; expected a number in [{at_least:g}, {below:g}).")
    with np.errstate(over="ignore"):
        cast = host.astype(dtype)  # on the host, where a conversion costs nothing
    digits.require_room(name, host, np.isinf(cast), dtype)
    return cast


def numbers(values, name: str, dtype):
    """A list of numbers ≥ 0, (m,) in ``dtype``."""
    array = numeric(values, name)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} has shape {array.shape}; expected (m,), a list of numbers.")
    return number(array, name, dtype, shape=array.shape)


def count(value, name: str) -> int:
    """A static whole number ≥ 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number ≥ 1.")
    return int(value)
