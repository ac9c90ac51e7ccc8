"""What is held out: folds as weights, and rows as a mask."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxlinear.checks import arrays, scalars


def folds_as_weights(folds, n: int) -> Float[ArrayLike, "f n"]:
    """Folds of n rows, in any form that cross-validation accepts, as weights (f, n).

    ``folds`` is a number k, for k blocks of consecutive rows; or the fold of every row, (n,) of
    whole numbers or words; or the weights themselves, with 0 for held-out rows. Raises ValueError
    where a fold holds nothing or everything out, and where weights are negative or not finite.
    Under ``jit`` only weights are accepted, which are recognised by their shape.

    >>> print(folds_as_weights(2, 4), folds_as_weights(["a", "b", "a"], 3))
    [[0. 0. 1. 1.]
     [1. 1. 0. 0.]] [[0. 1. 0.]
     [1. 0. 1.]]
    """
    known = arrays.is_known(folds)
    folds = np.asarray(folds) if known else folds
    if known and folds.ndim == 0:
        number = number_of_folds(folds, n)
        sizes = [len(block) for block in np.array_split(np.arange(n), number)]
        folds = np.repeat(np.arange(number), sizes)
    if known and folds.ndim == 1:
        return _weights_of_names(folds, n)
    if folds.ndim != 2 or folds.shape[1] != n or not len(folds):
        raise ValueError(
            f"folds has shape {folds.shape}; expected weights (f, {n}), as jl.resample.k_fold "
            f"makes them, or, where it is not traced, a number, or the fold of every row ({n},)."
        )
    weights = arrays.numeric(folds, "folds").astype(jnp.result_type(float))
    if known:
        _check_weights(weights)
    return weights


def number_of_folds(folds, n: int) -> int:
    """A number of folds of n rows, checked."""
    number = scalars.count(np.asarray(folds).item(), "folds")
    if not 2 <= number <= n:
        raise ValueError(f"folds is {number}; expected a number in 2 … {n}, the examples.")
    return number


def _check_weights(weights: np.ndarray) -> None:
    sound = np.isfinite(weights) & (weights >= 0)
    if not sound.all():
        fold, row = np.argwhere(~sound)[0]
        raise ValueError(f"folds[{fold}, {row}] is {weights[fold, row]}; expected finite weights.")
    for all_of, what in ((weights != 0, "holds nothing out"), (weights == 0, "fits nothing")):
        if all_of.all(axis=1).any():
            raise ValueError(
                f"fold {np.argmax(all_of.all(axis=1))} {what}; expected weights that are 0 for "
                "some rows, which it holds out, and above 0 for others."
            )


def _weights_of_names(names: np.ndarray, n: int) -> np.ndarray:
    if names.shape != (n,) or len(np.unique(names)) < 2:
        raise ValueError(
            f"folds has shape {names.shape} and {len(np.unique(names))} values; expected "
            f"({n},), the fold of every row, with two values or more."
        )
    if np.issubdtype(names.dtype, np.inexact):
        raise ValueError(
            f"folds has shape {names.shape} and dtype {names.dtype}; expected whole numbers or "
            "words, the fold of every row. Use folds.astype(int), or folds[None] for one weight "
            "of all rows."
        )
    return without_each(names_and_numbers(names)[1]).astype(jnp.result_type(float))


def names_and_numbers(
    groups, n: int | None = None, argument: str = "groups"
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct names, sorted, and the index of every example's name among them.

    Of ``n`` examples, where that is known.
    """
    if not arrays.is_known(groups):
        raise TypeError(f"{argument} is traced; expected concrete names: their number is a shape.")
    groups = np.asarray(arrays.read(groups, argument))
    if groups.ndim != 1 or not len(groups):
        raise ValueError(f"{argument} has shape {groups.shape}; expected (n,), a name per example.")
    if n is not None and len(groups) != n:
        raise ValueError(f"{argument} has {len(groups)} entries; expected {n}, one per row.")
    return np.unique(groups, return_inverse=True)


def without_each(group: np.ndarray) -> np.ndarray:
    """Weights (f, n) of bool, of which each row leaves out one group."""
    return group[None] != np.arange(group.max() + 1)[:, None]


def rows_as_mask(held_out, n: int) -> Bool[ArrayLike, " n"]:
    """Held-out rows as (n,) of bool: from a mask, or from the numbers of the rows.

    An array of n entries that are all 0 or 1, in any dtype, is a mask; so is [0, 1] for two rows.
    Other integers are row numbers, 0 … n − 1, each at most once. Anything else raises ValueError,
    as does holding out no row or all rows. Under ``jit`` only a mask is accepted, recognised by its
    shape; where one of its entries is not 0 or 1, nothing is held out.

    >>> print(rows_as_mask([0.0, 1.0, 1.0], 3), rows_as_mask([1, 2], 3))
    [False  True  True] [False  True  True]
    """
    rows = arrays.numeric(held_out, "held_out")
    if not arrays.is_known(rows):
        if rows.shape != (n,):
            raise ValueError(
                f"held_out is traced and has shape {rows.shape}; expected a mask ({n},). Row "
                "numbers are to be known before tracing."
            )
        return (rows == 1) & ((rows == 0) | (rows == 1)).all()
    rows = np.asarray(rows)
    is_mask = rows.shape == (n,) and np.isin(rows, (0, 1)).all()
    mask = rows != 0 if is_mask else _mask_of_numbers(rows, n)
    if mask.all() or not mask.any():
        raise ValueError(
            f"held_out has shape {rows.shape} and is {mask.sum()} of {n} rows; expected some, and "
            "others that are fitted."
        )
    return mask


def _mask_of_numbers(rows: np.ndarray, n: int) -> np.ndarray:
    expected = f"a mask ({n},) of bool or of 0 and 1, or row numbers 0 … {n - 1}, each once"
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"held_out has shape {rows.shape} and dtype {rows.dtype}; expected {expected}."
        )
    _, first = np.unique(rows, return_index=True)
    bad = (rows < 0) | (rows >= n) | ~np.isin(np.arange(len(rows)), first)
    if bad.any():
        place = np.argmax(bad)
        raise ValueError(f"held_out[{place}] is {rows[place]}; expected {expected}.")
    return np.isin(np.arange(n), rows)
