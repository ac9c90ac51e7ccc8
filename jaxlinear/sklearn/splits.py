"""Splits of scikit-learn as the weights of folds."""

import numpy as np
from sklearn.model_selection import check_cv

from jaxlinear.sklearn import door
from jaxlinear.types import Batch


def folds_of(cv, batch: Batch, classes: bool = False) -> tuple[np.ndarray | None, float]:
    """The weights (f, n) of splits, 0 for what a fold holds out, and Σ w of those that are fitted.

    The sum is the mean over folds: the penalty of scikit-learn, alpha or 1 / C, stands beside a
    sum over the rows of a fold, which is as large for each of them but for a row. None for
    ``cv=None`` and no classes: there every row is a fold, and the sum that of all.
    """
    total = door.total_weight(batch)
    if cv is None and not classes:
        return None, total
    n, y = len(batch.x), np.asarray(batch.y)
    folds = []
    for fitted, held in check_cv(cv, y, classifier=classes).split(np.zeros((n, 1)), y):
        if len(np.union1d(fitted, held)) < n:
            raise ValueError(
                f"cv leaves out {n - len(np.union1d(fitted, held))} rows of a split altogether; "
                "expected every row to be fitted or held out."
            )
        folds.append(np.bincount(fitted, minlength=n))
    folds = np.stack(folds).astype(batch.x.dtype)
    weight = np.ones(n) if batch.weight is None else np.asarray(batch.weight)
    return folds, float((folds @ weight).mean())


def of_few_sizes(batch: Batch, folds: np.ndarray | None) -> tuple[Batch, np.ndarray | None]:
    """``door.of_few_sizes`` of examples and of folds, which hold none of the added rows out."""
    padded = door.of_few_sizes(batch)
    if folds is None:
        return padded, None
    more = len(padded.x) - len(batch.x)
    return padded, np.pad(folds, [(0, 0), (0, more)], constant_values=1)
