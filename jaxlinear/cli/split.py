"""Which rows are held out: of every class the same part, of groups all rows or none, or the last.

A mask (n,), or None where no row would be held out or none left.
"""

import numpy as np


def held_out(
    n: int,
    fraction: float,
    seed: int,
    *,
    classes: np.ndarray | None = None,
    group: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> np.ndarray | None:
    """A ``fraction`` of n rows to hold out: the last in ``time``, whole groups, or at random.

    Of every one of the ``classes`` (n,) the same part is held out, up to one row.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"--test-fraction is {fraction}; expected a number in [0, 1).")
    count = round(fraction * n)
    if count in (0, n):
        return None
    if time is not None:
        return _last(time, count)
    if group is not None:
        return _groups(group, count, seed)
    order = np.random.default_rng(seed).permutation(n)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    mask = np.zeros(n, bool)
    mask[order[(np.arange(count) * n + n // 2) // count]] = True  # evenly, over all classes
    return mask


def _last(time: np.ndarray, count: int) -> np.ndarray | None:
    """The last rows, with all rows of the same moment."""
    first = np.sort(time)[len(time) - count]
    mask = time >= first
    return None if mask.all() else mask


def _groups(group: np.ndarray, count: int, seed: int) -> np.ndarray | None:
    """Groups at random, until they have as many rows as are wanted, or as near as it gets."""
    sizes = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(sizes))
    taken = np.cumsum(sizes[order])
    groups = 1 + int(np.argmin(np.abs(taken[:-1] - count))) if len(sizes) > 1 else 0
    return np.isin(group, order[:groups]) if groups else None
