"""Conversion to double and single precision that refuses, by name, columns that lose their digits.

Dates in seconds since 1970 and identifiers near 10⁹ are further from 0 than from each other, and
the 24 bits of float32 do not suffice: neighbours become the same number.
"""

from collections.abc import Callable

import numpy as np

from jaxlinear.checks.digits import blurs

_AT_ONCE = 2**22  # numbers of some columns, so that a large table is not copied whole


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
    width = max(1, _AT_ONCE // len(x))
    blocks = (x[:, start : start + width] for start in range(0, x.shape[1], width))
    parts = [_mean_and_deviation(np.asarray(block, np.float64), precision) for block in blocks]
    mean, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
    return mean, deviation


def _mean_and_deviation(x: np.ndarray, precision: float) -> tuple[np.ndarray, np.ndarray]:
    away = x - x[0]  # of a constant column these are 0, whereas a sum of 0.1s is rounded
    mean = x[0] + away.mean(axis=0)
    away -= away.mean(axis=0)
    largest = np.abs(away).max(axis=0)  # whose square may overflow, or be 0
    away /= np.where(largest == 0, 1, largest)
    deviation = largest * np.sqrt(np.square(away).mean(axis=0))
    rounding = (deviation > 0) & (deviation <= precision * np.abs(mean))
    if rounding.any():
        whole = (x == np.round(x)).all(axis=0) & (np.abs(x).max(axis=0) < 2**53)
        deviation = np.where(rounding & ~whole, 0.0, deviation)
    return mean, deviation
