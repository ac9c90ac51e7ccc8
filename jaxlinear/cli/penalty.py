"""The strength of the penalty, chosen by cross-validation on the training rows alone."""

from typing import NamedTuple

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.cli.losses import LOSSES
from jaxlinear.cli.task import Part

FOLDS = 5
L2S = np.logspace(1, -6, 15)  # of standardised columns: from next to no weights to next to free


class Choice(NamedTuple):
    """The chosen l2, () or one for every label, and the scores (m, *k) of all candidates (m,).

    ``by`` names the method.
    """

    by: str
    l2: np.ndarray
    l2s: np.ndarray
    scores: np.ndarray


def choose(loss: str, part: Part, outputs: int | None, seed: int) -> tuple[jl.Fit, Choice]:
    """Fit the examples with the l2 of the least held-out loss: squared errors, or the loss itself.

    Of least squares every row is left out once, which has a closed form; of other losses a fifth of
    the rows at a time, with equal shares of the classes. Of rows in groups, or in time, whole
    groups or blocks of time are left out. Of equal scores the strongest penalty is chosen.
    """
    if part.weight is not None:  # rows of weight 0 would be the only ones of a fold
        part = jax.tree.map(lambda rows: rows[np.asarray(part.weight) != 0], part)
    x, y, weight = part.batch
    if len(x) < 2:
        raise ValueError(f"{len(x)} training row is too few to choose l2; give --l2.")
    by, folds = _folds(loss, part, seed)
    if loss == "squared_error":
        return _of(by, jl.ridge_cv(x, y, L2S, folds=folds, weight=weight))
    options = {"outputs": outputs, "weight": weight, "offset": part.offset}
    return _of(by, jl.glm_cv(LOSSES[loss], x, y, L2S, folds, error=LOSSES[loss], **options))


def _folds(loss: str, part: Part, seed: int):
    """How it is called, and the folds; None leaves out one row at a time."""
    n, key = len(part.x), jax.random.key(seed)
    if part.time is not None:
        count = min(FOLDS, n)
        place = np.argsort(np.argsort(part.time, kind="stable"), kind="stable")
        return f"{count} blocks of time, each held out once", place * count // n
    if part.group is not None:
        count = min(FOLDS, len(np.unique(part.group)))
        if count < 2:
            raise ValueError("the training rows are one group, too few to choose l2; give --l2.")
        by = f"{count}-fold cross-validation of whole groups"
        return by, jl.resample.group_k_fold(key, part.group, count)
    if loss == "squared_error":
        return "leave-one-out cross-validation", None
    count = min(FOLDS, n)
    by = f"{count}-fold cross-validation"
    if np.ndim(part.y) == 1 and loss == "softmax_cross_entropy":
        return by, jl.resample.stratified_k_fold(key, part.y, count)
    return by, jl.resample.k_fold(key, n, count)


def _of(by: str, found: jl.CrossValidation) -> tuple[jl.Fit, Choice]:
    return found.fit, Choice(by, np.asarray(found.l2), L2S, np.asarray(found.scores))
