"""Rivals of the exact fits: scikit-learn, himalaya and NumPy, as a user of theirs would write it.

Each gives ``Linear`` (of one fit, or stacked) or a ``Choice``. l2 multiplies the mean loss, as in
jaxlinear; scikit-learn and himalaya want it times the number of examples.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jaxlinear as jl
from benchmarks.float64 import stack


class Choice(NamedTuple):
    """What the rivals of ``jl.ridge_cv`` can tell of its result: l2 () or (k,), and scores (m, k).

    himalaya keeps the scores of the chosen l2 only: (1, k).
    """

    l2: Any
    scores: Any


def sklearn_least_squares(x, y) -> jl.Linear:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(x, y)
    return jl.Linear(model.coef_, model.intercept_)


def sklearn_ridge(x, y, l2, intercept=True) -> jl.Linear:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=l2 * len(x), fit_intercept=intercept).fit(x, y)
    return jl.Linear(model.coef_, model.intercept_)


def sklearn_path(x, y, l2s) -> jl.Linear:
    return stack(sklearn_ridge(x, y, l2) for l2 in l2s)


def sklearn_problems(x, y, l2) -> jl.Linear:
    return stack(sklearn_ridge(*problem, l2) for problem in zip(x, y, strict=True))


def sklearn_leave_one_out(x, y, l2s, gcv_mode) -> Choice:
    from sklearn.linear_model import RidgeCV

    alphas = l2s * len(x)
    model = RidgeCV(alphas=alphas, scoring=None, store_cv_results=True, gcv_mode=gcv_mode)
    model.fit(x, y)
    return Choice(model.alpha_ / len(x), model.cv_results_.mean(axis=0).T)


def numpy_ridge(x, y, l2, intercept=True) -> jl.Linear:
    """The normal equations, of centred data or, without intercept, of the data as they are."""
    n, d = x.shape
    mean_x, mean_y = np.zeros(d, x.dtype), np.zeros(y.shape[1:], y.dtype)
    if intercept:
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        x, y = x - mean_x, y - mean_y
    xx = x.T @ x
    xx[np.diag_indices(d)] += l2 * n
    w = np.linalg.solve(xx, x.T @ y).T
    return jl.Linear(w, mean_y - w @ mean_x)


def numpy_problems(x, y, l2) -> jl.Linear:
    """The normal equations of all problems at once: x (p, n, d), y (p, n)."""
    n, d = x.shape[1:]
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    across = x.transpose(0, 2, 1)
    xx = across @ x
    xx[:, range(d), range(d)] += l2 * n
    w = np.linalg.solve(xx, across @ y[..., None])[..., 0]
    return jl.Linear(w, mean_y - np.sum(w * mean_x, axis=1))


def jaxlinear_problems(fit: Callable, problems) -> list[jl.Linear]:
    """A Python loop over a compiled fit."""
    return [fit(x, y) for x, y in problems]


def jaxlinear_choice(x, y, l2s, folds: int):
    return jl.ridge_cv(x, y, l2s, folds=folds, per_target=True)


def himalaya_choice(x, y, l2s, folds: int, backend="numpy") -> Choice:
    """Its default score is the mean squared error, as ours; batches of this size are quickest.

    l2 times the examples of a training part is the same alpha in every fold.
    """
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import KFold

    set_backend(backend)
    trained = len(x) - len(x) // folds
    model = RidgeCV(
        alphas=(l2s * trained).astype(x.dtype),
        fit_intercept=True,
        cv=KFold(folds),
        solver_params={"n_targets_batch": 500, "n_alphas_batch": 5},
    ).fit(x, y)
    best, scores = (np.asarray(a.cpu() if hasattr(a, "cpu") else a) for a in
                    (model.best_alphas_, model.cv_scores_))  # fmt: skip
    return Choice(best / trained, -scores[None])


def himalaya_choice_with_torch(x, y, l2s, folds: int) -> Choice:
    """On the GPU where torch sees one."""
    import torch

    backend = "torch_cuda" if torch.cuda.is_available() else "torch"
    return himalaya_choice(x, y, l2s, folds, backend)
