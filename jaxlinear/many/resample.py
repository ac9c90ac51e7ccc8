"""Folds, bootstraps and padding, expressed as weights of examples instead of subsets.

Cross-validation of any fit is ``jax.vmap`` over such weights, one program for all folds, since
examples of weight 0 have no effect; ``1 - weight`` marks the examples that a fold holds out.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxlinear import checks
from jaxlinear.checks import digits
from jaxlinear.checks.folds import folds_as_weights, rows_as_mask
from jaxlinear.many.bootstrap import Interval, bootstrap, interval
from jaxlinear.rows.order import permutation
from jaxlinear.types import Batch

__all__ = [
    "Interval",
    "bootstrap",
    "folds_as_weights",
    "group_k_fold",
    "interval",
    "k_fold",
    "leave_one_group_out",
    "pad",
    "pad_groups",
    "rows_as_mask",
    "stratified_k_fold",
]


def k_fold(key: PRNGKeyArray, n: int, folds: int, *, repeats: int = 1) -> Float[Array, "models n"]:
    """Weights (repeats · folds, n): 0 for the n / folds examples that are held out, else 1.

    Fold sizes differ by at most one, and every repeat shuffles anew. scikit-learn's
    ``RepeatedKFold``, and ``KFold(shuffle=True)``.

    >>> weight = k_fold(jax.random.key(0), 10, 5)
    >>> print(weight.sum(axis=1), (1 - weight).sum(axis=0))
    [8. 8. 8. 8. 8.] [1. 1. 1. 1. 1. 1. 1. 1. 1. 1.]
    """
    return _repeated(key, np.zeros(checks.count(n, "n"), np.int32), folds, repeats)


def stratified_k_fold(
    key: PRNGKeyArray, y, folds: int, *, repeats: int = 1
) -> Float[Array, "models n"]:
    """``k_fold`` in which every fold has its share of every class, to within one example.

    ``y`` (n,) are integer labels. scikit-learn's ``RepeatedStratifiedKFold``.
    """
    y = checks.numeric(y, "y")
    if y.ndim != 1 or not (jnp.issubdtype(y.dtype, jnp.integer) or y.dtype == bool):
        raise ValueError(
            f"y has shape {y.shape} and dtype {y.dtype}; expected integer labels (n,). Bin "
            "numbers first, for example with jnp.digitize."
        )
    if checks.is_known(y):
        y = np.unique(np.asarray(y), return_inverse=True)[1]  # label 2**32 is 0 in 32 bits
    return _repeated(key, y, folds, repeats)


def _repeated(key, y, folds: int, repeats: int):
    folds, repeats = checks.count(folds, "folds"), checks.count(repeats, "repeats")
    if not 2 <= folds <= len(y):
        raise ValueError(
            f"folds is {folds}; expected 2 … {len(y)}, as many as examples at the most."
        )

    return _dealt(key, y, folds, repeats)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _dealt(key, y, folds: int, repeats: int):
    """Dealt out like cards, class after class: folds and classes are both balanced."""

    def once(key):
        order = permutation(key, len(y))
        by_class = order[jnp.argsort(y[order], stable=True)]
        deal = jnp.arange(len(y), dtype=jnp.int32) % folds
        fold = jnp.zeros(len(y), jnp.int32).at[by_class].set(deal)
        return (fold[None] != jnp.arange(folds)[:, None]).astype(jnp.float32)

    return jax.vmap(once)(jax.random.split(key, repeats)).reshape(repeats * folds, len(y))


def group_k_fold(
    key: PRNGKeyArray, groups, folds: int, *, repeats: int = 1
) -> Float[Array, "models n"]:
    """``k_fold`` that keeps groups together: what it holds out are whole groups.

    ``groups`` (n,) names the group of every example, in numbers or words; it is read on the host.
    The largest groups are dealt first, each to the fold that holds least, groups of one size in
    random order. scikit-learn's ``GroupKFold``.

    >>> weight = group_k_fold(jax.random.key(0), ["a", "b", "a", "c"], 2)
    >>> print(weight.sum(axis=1), (weight[:, 0] == weight[:, 2]).all())
    [2. 2.] True
    """
    names, group = checks.names_and_numbers(groups)
    folds, repeats = checks.count(folds, "folds"), checks.count(repeats, "repeats")
    if not 2 <= folds <= len(names):
        raise ValueError(
            f"folds is {folds}; expected 2 … {len(names)}, as many as groups at the most."
        )
    sizes = np.bincount(group)

    def once(key):
        shuffled = np.asarray(permutation(key, len(names)))
        fold, held = np.zeros(len(names), int), np.zeros(folds, int)
        for place in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
            fold[place] = np.argmin(held)
            held[fold[place]] += sizes[place]
        return fold[group][None] != np.arange(folds)[:, None]

    return jnp.asarray(np.concatenate([*map(once, jax.random.split(key, repeats))]), jnp.float32)


def leave_one_group_out(groups) -> Float[Array, "groups n"]:
    """Weights (groups, n) that leave out one group each, in the order of ``np.unique(groups)``.

    ``groups`` (n,) names the group of every example, in numbers or words; it is read on the host.
    scikit-learn's ``LeaveOneGroupOut``.

    >>> print(leave_one_group_out(["a", "b", "a"]))
    [[0. 1. 0.]
     [1. 0. 1.]]
    """
    names, group = checks.names_and_numbers(groups)
    if len(names) < 2:
        raise ValueError(f"groups holds {len(names)} group; expected at least two.")
    return jnp.asarray(checks.without_each(group), jnp.float32)


def pad(batch: Batch, size: int | None = None) -> Batch:
    """The batch padded to ``size`` examples with rows of weight 0, which change no result.

    JAX compiles a program for every new number of examples, which takes seconds. For data of many
    sizes, ``size=None`` rounds them up to few: the next of 1, 1¼, 1½ and 1¾ times a power of two.
    Fits, errors and scores are those of the batch, up to the rounding of sums; only functions that
    count rows or draw them by position, as ``sgd_fit`` and ``k_fold`` do, see the added rows.
    Works on the host, and compiles nothing.

    >>> batch = pad(Batch(np.ones((9, 2)), np.arange(9)))
    >>> print(batch.x.shape, batch.weight)
    (10, 2) [1. 1. 1. 1. 1. 1. 1. 1. 1. 0.]
    """
    n = len(batch.x)
    size = _round_size(n) if size is None else checks.count(size, "size")
    if size < n:
        raise ValueError(f"size is {size}; expected at least the {n} examples of the batch.")
    weight = np.ones(n, np.float32) if batch.weight is None else batch.weight

    def filled(rows):
        rows = np.asarray(rows)
        return np.pad(rows, [(0, size - n), *[(0, 0)] * (rows.ndim - 1)])

    return jax.tree.map(filled, batch._replace(weight=weight))


def _round_size(n: int) -> int:
    """n rounded up to three significant binary digits."""
    step = 1 << max(n.bit_length() - 3, 0)
    return -(-n // step) * step


def pad_groups(groups, x, y, weight=None) -> tuple[np.ndarray, Batch]:
    """Examples by group: the names of the groups, and a batch with a leading axis of groups.

    Groups are padded to the size of the largest by rows of weight 0, so that ``jax.vmap`` fits
    a model for every group; memory is groups · largest · d. The order within a group is kept.

    >>> names, batch = pad_groups(["a", "b", "a"], np.arange(3.0)[:, None], np.arange(3))
    >>> print(names, batch.y, batch.weight)
    ['a' 'b'] [[0 2]
     [1 0]] [[1. 1.]
     [1. 0.]]
    """
    names, group = checks.names_and_numbers(groups)
    weight = np.ones(len(group), np.float32) if weight is None else weight
    given = {"x": x, "y": y, "weight": weight}
    given = {name: np.asarray(checks.numeric(value, name)) for name, value in given.items()}
    for name, array in given.items():
        if array.shape[:1] != group.shape:
            raise ValueError(
                f"{name} has shape {array.shape} and groups {group.shape}; expected as many rows."
            )
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    place = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    def padded(rows):
        room = np.zeros((len(names), sizes.max(), *rows.shape[1:]), rows.dtype)
        room[group[order], place] = rows[order]
        return room

    room = {name: padded(rows) for name, rows in given.items()}
    for name in ("x", "y"):
        _require_digits(names, name, room[name], room["weight"])
    made = (digits.cast(rows, jnp.result_type(rows)) for rows in room.values())
    return names, Batch(*map(jnp.asarray, made))


def _require_digits(names, name: str, rows: np.ndarray, weight: np.ndarray) -> None:
    """Raise where JAX's dtype is too coarse for a column within a group, which is fitted alone."""
    dtype = jnp.result_type(rows)
    if not jnp.issubdtype(dtype, jnp.floating) or not digits.narrows(rows.dtype, dtype):
        digits.stored(rows, name)
        return
    rows = np.moveaxis(rows.reshape(*weight.shape, -1), 1, 0)
    there = np.broadcast_to((weight != 0).T[..., None], rows.shape)

    def where(column):
        of_group, of_row = divmod(column, rows.shape[2])
        return f"{name}[:, {of_row}] of the group {names[of_group]}"

    columns, there = (each.reshape(len(rows), -1) for each in (rows, there))
    digits.require_columns(columns, there, dtype, where)
