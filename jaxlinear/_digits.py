"""Digits that a narrower dtype would lose, noticed before they are lost.

Seconds since 1970 are rounded to multiples of 128 in float32, and numbers near 10⁹ to multiples of
64. Such a column is refused, and not centred on the way in: a model of the raw column has
b = ȳ − w x̄ beyond what float32 resolves, so that no prediction from it would be right. Whoever
subtracts an origin, or keeps float64, has a model that float32, or float64, can hold.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxlinear._arrays import is_traced

_TOLERATED = 1e-3  # of the spread of a column
_SAMPLE, _BLOCK = 1000, 4096  # rows


def cast(array, dtype) -> Array:
    """``array`` as one of JAX in ``dtype``; what is too large becomes inf, to be refused later."""
    with np.errstate(over="ignore"):
        return jnp.asarray(array, dtype)


def kept(array, name: str, dtype, weight=None) -> Array:
    """``cast``, refused where it would blur a column: its rounding against its spread.

    Rows, or entries, of weight 0 do not count. Integers that are traced cannot be refused: a
    column that would be blurred becomes NaN.
    """
    if not narrows(array.dtype, dtype):
        return cast(array, dtype)
    if weight is None or (is_traced(weight) and not is_traced(array)):
        weight = np.ones(len(array))
    if is_traced(array):
        if jnp.issubdtype(array.dtype, jnp.floating):
            return cast(array, dtype)
        columns = array.reshape(len(array), -1)
        there = jnp.broadcast_to(_wide(weight) != 0, columns.shape)
        lost = _blurred(columns, dtype, there, jnp)
        return jnp.where(lost.reshape(1, *array.shape[1:]), jnp.nan, array.astype(dtype))
    _require_digits(np.asarray(array), name, dtype, np.asarray(weight) != 0)
    return cast(array, dtype)


def narrows(source, dtype) -> bool:
    """Whether ``dtype`` has fewer digits than ``source``."""
    if source == np.bool_:
        return False
    if jnp.issubdtype(source, jnp.floating):
        return jnp.finfo(source).nmant > jnp.finfo(dtype).nmant
    return jnp.iinfo(source).bits > jnp.finfo(dtype).nmant + 1


def _wide(weight):
    return weight.reshape(len(weight), -1)


def _require_digits(array: np.ndarray, name: str, dtype, present: np.ndarray) -> None:
    columns, present = array.reshape(len(array), -1), _wide(present)
    for column in _rounded(columns, _suspects(columns, present.any(axis=1), dtype), dtype):
        entries = columns[:, column]
        own = present[:, column if present.shape[1] > 1 else 0]
        if _blurred(entries[:, None], dtype, own[:, None], np)[0]:
            where = f"{name}[:, {column}]" if columns.shape[1] > 1 else name
            raise ValueError(_refusal(entries[own], where, name, dtype))


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
    least = np.sqrt(2 * len(rows) / len(sample)) * jnp.finfo(dtype).eps / 2 / _TOLERATED
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


def _blurred(columns, dtype, there, xp):
    """Of every column, whether its rounding to ``dtype`` is more than a little of its spread."""
    with np.errstate(all="ignore"):
        back = columns.astype(dtype).astype(columns.dtype)
        error, away = (_difference(columns, other, xp) for other in (back, columns[:1]))
        there = there & xp.isfinite(error) & xp.isfinite(away)
        error, spread = _spread(error, there, xp), _spread(away, there, xp)
        largest = xp.max(xp.where(there, xp.abs(columns), 0), axis=0)
    # 0.1 repeated, with differences of 1e-17, is constant; integers that differ are not.
    floating = jnp.issubdtype(columns.dtype, jnp.floating)
    rounding = 64 * jnp.finfo(columns.dtype).eps * largest if floating else 0
    return (spread > rounding) & (error > _TOLERATED * spread)


def _difference(a, b, xp):
    """a − b in floating point; of integers exact before that, modulo their range."""
    difference = a - b
    if jnp.issubdtype(difference.dtype, jnp.unsignedinteger):
        difference = difference.astype(f"int{8 * difference.dtype.itemsize}")
    return difference.astype(float if xp is np else jnp.result_type(float))


def _spread(values, there, xp):
    count = xp.maximum(there.sum(axis=0, keepdims=True), 1)
    mean = xp.where(there, values, 0).sum(axis=0, keepdims=True) / count
    squares = xp.where(there, xp.square(values - mean), 0).sum(axis=0) / count[0]
    return xp.sqrt(squares)


def _refusal(entries, where: str, name: str, dtype) -> str:
    with np.errstate(all="ignore"):
        finite = entries[np.isfinite(entries.astype(np.float64))]
    low, high = finite.min(), finite.max()
    least = jnp.finfo(dtype).eps * 2.0 ** np.floor(np.log2(max(abs(float(low)), abs(float(high)))))
    return (
        f"{where} runs from {low} to {high}, which {jnp.dtype(dtype)} holds in steps of {least:g}: "
        f"it would lose its digits. Subtract an origin first, as in {where} - {where}.min(), or "
        f"pass float64 inside jax.enable_x64(True). Where those digits do not matter, pass "
        f"{name}.astype(np.float32)."
    )


def beyond(value, dtype) -> str:
    """What to say of a finite number that ``dtype`` cannot hold."""
    return (
        f"is {value}, which {jnp.dtype(dtype)} cannot hold (its largest number is "
        f"{float(jnp.finfo(dtype).max):.3g}). Scale it, or use a wider dtype: float64 inside "
        "jax.enable_x64(True)."
    )
