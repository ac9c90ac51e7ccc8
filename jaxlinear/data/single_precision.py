"""Conversion to double and single precision that refuses, by name, columns that lose their digits.

Dates in seconds since 1970 and identifiers near 10⁹ are further from 0 than from each other, and
the 24 bits of float32 do not suffice: neighbours become the same number.
"""

import functools
from collections.abc import Callable

import numpy as np

from jaxlinear.checks.digits import blurs

_AT_ONCE = 2**18  # numbers of some rows, which stay in the cache: a table is not copied whole


def double(column: np.ndarray, distinct: Callable[[], int], where: str) -> np.ndarray:
    """A column (n,) as float64; raises ValueError where different numbers become equal.

    ``distinct`` counts the different numbers of the original column; called only from 2⁵³ on.
    """
    wide = column.astype(np.float64)
    if wide.size and np.abs(wide).max() >= 2**53 and len(np.unique(wide)) < distinct():
        raise ValueError(
            f"{where} runs from {wide.min():.17g} to {wide.max():.17g} in numbers that float64 "
            "cannot tell apart; subtract what they share, or leave them out."
        )
    return wide


def single(column: np.ndarray, where: str) -> np.ndarray:
    """A float64 column of finite numbers (n,) as float32; ValueError where that moves them too far.

    An overflow becomes inf, which the caller reports with its row.
    """
    with np.errstate(over="ignore"):
        rounded = column.astype(np.float32)
    if np.isfinite(rounded).all() and blurs(column, rounded.dtype):
        moved = np.abs(rounded - column).max()
        raise ValueError(
            f"{where} runs from {column.min():.17g} to {column.max():.17g}, which float32 "
            f"cannot tell apart (it moves them by up to {moved:.2g}); subtract what they "
            "share, or choose another unit (in Python, dtype=numpy.float64 keeps features)."
        )
    return rounded


def mean_and_deviation(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every column of floating x (n, d), in float64.

    A constant column has exactly its value and 0. The deviation is also 0 where a column varies by
    no more than the rounding of its dtype, or of sums in float64; differing whole numbers do not
    count as rounding.
    """
    precision = float(max(np.finfo(x.dtype).eps, 64 * np.finfo(np.float64).eps))
    first, n = np.asarray(x[0], np.float64), len(x)
    rows = max(1, _AT_ONCE // max(1, x.shape[1]))
    # From the first row on: of a constant column that is 0, whereas a sum of 0.1s is rounded.
    away = functools.partial(_blocks, x, rows)
    shift = sum(block.sum(axis=0) for block in away(first)) / n
    mean = first + shift
    largest = functools.reduce(np.maximum, (np.abs(b).max(axis=0) for b in away(first, shift)))
    unit = np.where(largest == 0, 1, largest)  # whose square may overflow, or be 0
    squares = sum(np.square(block / unit).sum(axis=0) for block in away(first, shift)) / n
    deviation = largest * np.sqrt(squares)
    rounding = (deviation > 0) & (deviation <= precision * np.abs(mean))
    if rounding.any():
        some = np.asarray(x[:, rounding], np.float64)
        whole = (some == np.round(some)).all(axis=0) & (np.abs(some).max(axis=0) < 2**53)
        deviation[rounding] = np.where(whole, deviation[rounding], 0.0)
    return mean, deviation


def _blocks(x: np.ndarray, rows: int, *origins: np.ndarray):
    """Blocks of rows in float64, less one origin after the other."""
    for start in range(0, len(x), rows):
        block = np.asarray(x[start : start + rows], np.float64)
        for origin in origins:
            block = block - origin
        yield block
