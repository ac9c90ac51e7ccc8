"""Rivals for many models: NumPy and torch with one product for all, scikit-learn one by one."""

import functools
import warnings

import numpy as np

import jaxlinear as jl
from benchmarks.rivals.libraries import on_torch


def stack(models) -> jl.Linear:
    """Stacked parameters, in NumPy, of models that are (w, b)."""
    return jl.Linear(*(np.stack([np.asarray(leaf) for leaf in leaves])
                       for leaves in zip(*models, strict=True)))  # fmt: skip


def logistic_descent(x, y, lr: float, epochs: int) -> jl.Linear:
    """Gradient descent from zero for x (m, n, d) and y (m, n), all in one product."""
    lr = x.dtype.type(lr / x.shape[1])
    w, b = np.zeros((len(x), x.shape[2], 1), x.dtype), np.zeros((len(x), 1), x.dtype)
    for _ in range(epochs):
        slope = 1 / (1 + np.exp(-(x @ w)[..., 0] - b)) - y
        w -= lr * (slope[:, None] @ x).transpose(0, 2, 1)
        b -= lr * slope.sum(axis=1, keepdims=True)
    return jl.Linear(w[..., 0], b[:, 0])


def torch_descent(x, y, lr: float, epochs: int):
    """The same in torch, on tensors that are there beforehand."""
    tensors = functools.cache(lambda: on_torch(x, y))

    def run():
        import torch

        x, y = tensors()
        w = torch.zeros(len(x), x.shape[2], 1, device=x.device)
        b = torch.zeros(len(x), 1, 1, device=x.device)
        for _ in range(epochs):
            slope = torch.sigmoid(torch.baddbmm(b, x, w)) - y[..., None]
            w.baddbmm_(x.transpose(1, 2), slope, alpha=-lr / x.shape[1])
            b.sub_(slope.sum(1, keepdim=True), alpha=lr / x.shape[1])
        return jl.Linear(w[..., 0].cpu().numpy(), b[:, 0, 0].cpu().numpy())

    return run


def sgd_classifier(x, y, epochs: int) -> jl.Linear:
    from sklearn.linear_model import SGDClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge in so few epochs
        model = SGDClassifier(loss="log_loss", alpha=1e-4, max_iter=epochs, tol=None).fit(x, y)
    return jl.Linear(model.coef_, model.intercept_)


def grid_search(x, y, l2s, folds, solver: str, tol: float) -> np.ndarray:
    """The mean score of every penalty; C = 1 / (l2 n), of the n that a fold is fitted to."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    model = LogisticRegression(solver=solver, tol=tol, max_iter=10_000)
    n = len(next(folds.split(x, y))[0])
    search = GridSearchCV(model, {"C": 1 / (l2s * n)}, cv=folds, n_jobs=2, refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(x, y).cv_results_["mean_test_score"]
