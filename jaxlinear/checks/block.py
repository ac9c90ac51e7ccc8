"""A block of a stream, on the host: it has to fit the first, and its numbers their dtype."""

import jax.numpy as jnp
import numpy as np

from jaxlinear.checks import digits
from jaxlinear.checks.arguments import dtype_of, matrix, targets, weights, wide
from jaxlinear.checks.arrays import numeric
from jaxlinear.checks.batch import raise_first, soundness
from jaxlinear.types import Batch

_ANY = 2**31 - 1  # classes, where their number is not known yet


def arrays(given, like: Batch | None) -> Batch:
    """A block as arrays of NumPy, in whatever dtypes; these and shapes are those of ``like``.

    Every row has a weight, of 1 where there was none.
    """
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise TypeError(f"got {type(given).__name__}; expected Batch(x, y), or with a weight.")
    x, y, weight = Batch(*given)
    x, y = np.asarray(numeric(x, "x")), np.asarray(numeric(y, "y"))
    if x.ndim != 2 or not x.shape[1]:
        matrix(x)  # says what is expected; a block without rows is none
    dtype = np.dtype(wide(x))
    weight = (
        np.ones(len(x), dtype) if weight is None else np.asarray(weights(weight, len(x), dtype))
    )
    if y.ndim not in (1, 2) or len(y) != len(x):
        raise ValueError(
            f"y has shape {y.shape}; expected ({len(x)},) or ({len(x)}, k), one row per example."
        )
    if like is not None:
        _require_same(x, y, like)
    return Batch(x, y, weight)


def _require_same(x: np.ndarray, y: np.ndarray, like: Batch) -> None:
    if x.shape[1] != like.x.shape[1]:
        raise ValueError(f"x has {x.shape[1]} columns; the first block had {like.x.shape[1]}.")
    if y.shape[1:] != like.y.shape[1:]:
        raise ValueError(f"y has rows of {y.shape[1:]}; the first block of {like.y.shape[1:]}.")
    for name, array, first in (("x", x, like.x), ("y", y, like.y)):
        if array.dtype != first.dtype:
            raise TypeError(
                f"{name} has dtype {array.dtype}; that of the first block was {first.dtype}. "
                f"Convert every block, by astype."
            )


def present(block: Batch) -> Batch:
    """The rows of weight other than 0."""
    absent = block.weight == 0
    return Batch(*(rows[~absent] for rows in block)) if absent.any() else block


def narrowed(block: Batch, kind: str | None, outputs: int | None, *, look: bool) -> Batch:
    """A block of arrays in the dtypes that solvers compute in, whose values are sound.

    Where ``kind`` is None, targets are any numbers, and whole numbers stay so.

    ``look`` reads all of x; the weights and the targets are always looked at.
    """
    x, y, weight = block
    dtype = np.dtype(wide(x))
    labelled = kind == "labels"
    if kind is None:
        kind, dtype = "real", np.result_type(dtype if y.dtype.kind == "f" else np.int32)
    narrow = np.asarray(targets(y, len(x), kind, dtype)) if labelled else _cast(y, dtype)
    batch = Batch(_cast(x, np.dtype(dtype_of(x))), narrow, weight)
    finite = True
    if look and x.dtype != np.uint8 and not _sum_is_finite(batch.x):
        finite = np.isfinite(batch.x).all(axis=1)
    shape = y.shape[1:] or ((outputs or _ANY,) if labelled else ())
    sound = soundness(batch, finite, kind, shape, np)
    raise_first(batch, block, sound, kind, shape)
    return batch


def _sum_is_finite(x: np.ndarray) -> bool:
    """False wherever an entry is not finite, in one pass that writes nothing."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.sum(x)))


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array in a dtype; what is too large becomes inf, to be refused later."""
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


class Digits:
    """Whether a narrower dtype would blur a column (see ``digits``), by all blocks together.

    A column that hardly varies in one block may vary in all.
    """

    def __init__(self, name: str):
        """Of no blocks yet; ``name`` is that of the argument."""
        self._name, self._first, self._count, self._sums = name, None, 0, 0.0
        self._low, self._high = np.inf, -np.inf

    def add(self, rows: np.ndarray, dtype: np.dtype) -> None:
        """Count the rows of a block, where ``dtype`` is narrower than theirs."""
        if not jnp.issubdtype(dtype, jnp.floating) or not digits.narrows(rows.dtype, dtype):
            return
        columns = rows.reshape(len(rows), -1)
        self._dtype, self._source = dtype, rows.dtype
        self._first = columns[:1] if self._first is None else self._first
        with np.errstate(all="ignore"):
            back = columns.astype(dtype).astype(columns.dtype)
            away = [digits.difference(columns, other, np) for other in (back, self._first)]
            self._sums += np.stack([(part**power).sum(axis=0) for part in away for power in (1, 2)])
        self._count += len(rows)
        self._low = np.minimum(self._low, columns.min(axis=0))
        self._high = np.maximum(self._high, columns.max(axis=0))

    def require(self) -> None:
        """Raise ValueError for the first column that would be blurred."""
        if self._first is None:
            return
        error, errors, away, squares = self._sums / self._count
        variance = squares - away**2
        floating = jnp.issubdtype(self._source, jnp.floating)
        largest = np.maximum(np.abs(self._low), np.abs(self._high)).astype(float)
        rounding = 64 * jnp.finfo(self._source).eps * largest if floating else 0
        with np.errstate(invalid="ignore"):
            lost = errors - error**2 > digits.TOLERATED**2 * variance
            lost &= variance > np.square(rounding)
        if lost.any():
            column = int(np.argmax(lost))
            where = f"{self._name}[:, {column}]" if len(lost) > 1 else self._name
            ends = np.array([self._low[column], self._high[column]])
            raise ValueError(digits.refusal(ends, where, self._dtype))
