"""The strength of the penalty, chosen by cross-validation on the training rows alone."""

from typing import NamedTuple

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.cli.losses import LOSSES

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


def choose(loss: str, batch: jl.Batch, outputs: int | None, seed: int) -> tuple[jl.Fit, Choice]:
    """Fit the batch with the l2 of the least held-out loss: squared errors, or the loss itself.

    Of least squares every row is left out once, which has a closed form; of other losses a fifth of
    the rows at a time, with equal shares of the classes. Of equal scores the strongest penalty is
    chosen.
    """
    if batch.weight is not None:  # rows of weight 0 would be the only ones of a fold
        batch = jax.tree.map(lambda rows: rows[np.asarray(batch.weight) != 0], batch)
    x, y, weight = batch
    if len(x) < 2:
        raise ValueError(f"{len(x)} training row is too few to choose l2; give --l2.")
    if loss == "squared_error":
        return _of("leave-one-out cross-validation", jl.ridge_cv(x, y, L2S, weight=weight))
    key, folds = jax.random.key(seed), min(FOLDS, len(x))
    by = f"{folds}-fold cross-validation"
    if np.ndim(y) == 1 and loss == "softmax_cross_entropy":
        folds = jl.resample.stratified_k_fold(key, y, folds)
    else:
        folds = jl.resample.k_fold(key, len(x), folds)
    options = {"outputs": outputs, "weight": weight}
    return _of(by, jl.glm_cv(LOSSES[loss], x, y, L2S, folds, error=LOSSES[loss], **options))


def _of(by: str, found: jl.CrossValidation) -> tuple[jl.Fit, Choice]:
    return found.fit, Choice(by, np.asarray(found.l2), L2S, np.asarray(found.scores))
