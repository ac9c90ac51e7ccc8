"""Refusal of columns whose digits would be lost in a narrower dtype.

Seconds since 1970 are rounded to multiples of 128 in float32, and numbers near 10⁹ to multiples of
64. Such a column is refused, and not centred automatically: a model of the raw column has
b = ȳ − w x̄ beyond what float32 resolves, so that no prediction from it would be right. With an
origin subtracted, the model fits into float32; with float64 kept, into float64.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxlinear.checks.arrays import is_known

TOLERATED = 1e-3  # rounding of a column, relative to its standard deviation
_SAMPLE, _BLOCK, _AT_ONCE = 1000, 4096, 2**24  # rows, rows, numbers
_FEW = 2**16  # numbers, up to which reading all is faster than a sample
_X64 = "jax.enable_x64(True)"


def cast(array, dtype) -> Array | np.ndarray:
    """``array`` in ``dtype``; what is too large becomes inf, to be refused later.

    A small array on the host stays there, as an array of NumPy: passing it to the program of the
    solver costs less than a program, or a transfer, of its own.
    """
    if isinstance(array, jax.Array) and array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        if isinstance(array, np.ndarray) or _is_few_on_host(array):
            array = np.asarray(array).astype(dtype, copy=False)
            return array if array.size <= _FEW else jnp.asarray(array)
        return jnp.asarray(array, dtype)


def _is_few_on_host(array) -> bool:
    if not is_known(array) or array.size > _FEW:
        return False
    devices = array.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"


def kept(array, name: str, dtype, weight=None) -> Array | np.ndarray:
    """``cast``, refused where it blurs a column: the rounding is more than 1e-3 of the spread.

    Rows, or entries, of weight 0 do not count. Integers that are traced cannot be refused: a
    column that would be blurred becomes NaN.
    """
    if not is_known(array) and narrows(array.dtype, dtype) and array.dtype.kind in "iu":
        columns = array.reshape(len(array), -1)
        there = jnp.broadcast_to(_there(weight, len(array)), columns.shape)
        lost = _blurred(columns, dtype, there, jnp)
        return jnp.where(lost.reshape(1, *array.shape[1:]), jnp.nan, array.astype(dtype))
    require(array, name, dtype, weight)
    return cast(array, dtype)


def _there(weight, n: int):
    """Which rows (n, 1), or entries (n, k), count."""
    return np.ones((n, 1), bool) if weight is None else weight.reshape(n, -1) != 0


def require(array, name: str, dtype, weight=None) -> None:
    """Refuse what ``kept`` refuses."""
    if not is_known(array) or not narrows(array.dtype, dtype):
        return
    if array.dtype.kind in "iu" and array.size <= _FEW and _is_exact(array, dtype):
        return
    columns = array.reshape(len(array), -1)
    there = _there(weight if is_known(weight) else None, len(array))
    several = columns.shape[1] > 1
    require_columns(columns, there, dtype, lambda j: f"{name}[:, {j}]" if several else name)


def _is_exact(integers, dtype) -> bool:
    """Whether all of them are numbers of ``dtype``: the quickest look at a few labels or counts."""
    host = np.asarray(integers)
    largest = 2 ** (jnp.finfo(dtype).nmant + 1)
    return host.size > 0 and bool((host.min() >= -largest) & (host.max() <= largest))


def stored(array, name: str, weight=None):
    """``array`` as it is, for later use; refused where JAX's dtype for it is too narrow."""
    dtype = jnp.result_type(array)
    if jnp.issubdtype(array.dtype, jnp.floating):
        require(array, name, dtype, weight)
    elif array.dtype.itemsize > dtype.itemsize:
        outside = (array < jnp.iinfo(dtype).min) | (array > jnp.iinfo(dtype).max)
        if outside.any():
            raise ValueError(
                f"{name} holds {array[outside][0]}, which {dtype} cannot hold. Subtract an origin "
                "first, or write labels as 0, 1, …."
            )
    return array


def narrows(source, dtype) -> bool:
    """Whether ``dtype`` has fewer digits than ``source``."""
    if source in (dtype, np.bool_):  # bytes stay bytes
        return False
    if jnp.issubdtype(source, jnp.floating):
        return jnp.finfo(source).nmant > jnp.finfo(dtype).nmant
    return jnp.iinfo(source).bits > jnp.finfo(dtype).nmant + 1


def require_columns(columns, there, dtype, where: Callable[[int], str]) -> None:
    """Refuse the columns (n, d) that ``dtype`` would blur; ``where(j)`` names column j.

    ``there`` are the rows (n, 1), or the entries (n, d), that count.
    """
    columns, there = np.asarray(columns), np.asarray(there)
    suspects = np.arange(columns.shape[1])
    if there.shape[1] == 1:
        suspects = _suspects(columns, there[:, 0], dtype)
    suspects = _rounded(columns, suspects, dtype)
    for some in np.array_split(suspects, -(-suspects.size * len(columns) // _AT_ONCE) or 1):
        present = np.broadcast_to(there, columns.shape)[:, some]
        lost = _blurred(columns[:, some], dtype, present, np)
        if lost.any():
            column = int(some[np.argmax(lost)])
            entries = columns[np.broadcast_to(there, columns.shape)[:, column], column]
            raise ValueError(refusal(entries, where(column), dtype))


def _suspects(columns: np.ndarray, present: np.ndarray, dtype) -> np.ndarray:
    """The columns that a sample of their rows does not clear.

    Let a share p of the rows have mean m and variance v. All rows, of mean M, have a variance
    V ≥ p (v + (m − M)²), and M² ≤ 2 m² + 2 (m − M)². Rounding is at most u |x|, so a column is
    blurred only where M² > K² V, with K = 1e-3 / u. That cannot be where √v > |m| √(2 / p) / K,
    whatever the other rows hold.
    """
    rows = np.flatnonzero(present)
    sample = columns[rows[:: -(-len(rows) // _SAMPLE) or 1]].astype(np.float64)
    if not len(sample):
        return np.arange(0)
    least = np.sqrt(2 * len(rows) / len(sample)) * jnp.finfo(dtype).eps / 2 / TOLERATED
    with np.errstate(all="ignore"):
        return np.flatnonzero(~(sample.std(axis=0) > least * np.abs(sample.mean(axis=0))))


def _rounded(columns: np.ndarray, some: np.ndarray, dtype) -> np.ndarray:
    """Those of ``some`` columns that ``dtype`` changes, in one pass over the rows."""
    changed = np.zeros(len(some), bool)
    with np.errstate(all="ignore"):
        for start in range(0, len(columns) if len(some) else 0, _BLOCK):
            block = columns[start : start + _BLOCK, some]
            changed |= (block.astype(dtype).astype(block.dtype) != block).any(axis=0)
    return some[changed]


def blurs(column: np.ndarray, dtype) -> bool:
    """Whether ``require`` would refuse a column (n,): its rounding exceeds 1e-3 of its spread."""
    return bool(_blurred(column[:, None], dtype, np.ones((len(column), 1), bool), np)[0])


def _blurred(columns, dtype, there, xp):
    """For every column, whether its rounding to ``dtype`` exceeds 1e-3 of its spread."""
    with np.errstate(all="ignore"):
        back = columns.astype(dtype).astype(columns.dtype)
        error, away = (difference(columns, other, xp) for other in (back, columns[:1]))
        there = there & xp.isfinite(error) & xp.isfinite(away)
        error, spread = _spread(error, there, xp), _spread(away, there, xp)
        largest = xp.max(xp.where(there, xp.abs(columns), 0), axis=0)
    # 0.1 repeated, with differences of 1e-17, is constant; integers that differ are not.
    floating = jnp.issubdtype(columns.dtype, jnp.floating)
    rounding = 64 * jnp.finfo(columns.dtype).eps * largest if floating else 0
    return (spread > rounding) & (error > TOLERATED * spread)


def difference(a, b, xp):
    """a − b in floating point; integers are subtracted before, exactly modulo their range."""
    difference = a - b
    if jnp.issubdtype(difference.dtype, jnp.unsignedinteger):
        difference = difference.astype(f"int{8 * difference.dtype.itemsize}")
    return difference.astype(float if xp is np else jnp.result_type(float))


def _spread(values, there, xp):
    count = xp.maximum(there.sum(axis=0, keepdims=True), 1)
    mean = xp.where(there, values, 0).sum(axis=0, keepdims=True) / count
    squares = xp.where(there, xp.square(values - mean), 0).sum(axis=0) / count[0]
    return xp.sqrt(squares)


def refusal(entries, where: str, dtype) -> str:
    """What to say of a column, of which these are entries, that ``dtype`` would blur."""
    with np.errstate(all="ignore"):
        finite = entries[np.isfinite(entries.astype(np.float64))]
    low, high = finite.min(), finite.max()
    largest = max(abs(float(low)), abs(float(high)))
    step = float(jnp.finfo(dtype).eps) * 2.0 ** np.floor(np.log2(largest))
    wider = "" if dtype == np.float64 else f", or pass float64 inside {_X64}"
    return (
        f"{where} runs from {low} to {high}, which {jnp.dtype(dtype)} holds in steps of {step:g}: "
        f"its digits would be lost. Subtract an origin first, such as its least number{wider}. "
        f"Where they do not matter, round to {jnp.dtype(dtype)} yourself, by astype."
    )


def beyond(value, dtype) -> str:
    """What to say of a finite number that ``dtype`` cannot hold."""
    limits = jnp.finfo(dtype)
    wider = "" if dtype == np.float64 else f", or use a wider dtype: float64 needs {_X64}"
    return (
        f"is {value}, which {jnp.dtype(dtype)} cannot hold: its numbers are 0 and "
        f"{float(limits.tiny):.3g} … {float(limits.max):.3g}. Scale the values{wider}."
    )


def require_room(name: str, given, spoiled, dtype) -> None:
    """Refuse finite numbers of ``given`` that ``dtype`` cannot hold, where ``spoiled`` is true."""
    given = np.asarray(given)
    spoiled = np.asarray(spoiled) & np.isfinite(given)
    if spoiled.any():
        place = tuple(np.argwhere(spoiled)[0].tolist())
        where = f"{name}[{', '.join(map(str, place))}]" if place else name
        raise ValueError(f"{where} {beyond(given[place], dtype)}")
