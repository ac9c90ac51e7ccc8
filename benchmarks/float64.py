"""The right answers of fits, in float64 NumPy: what every rival is held to.

Normal equations are right to more digits than float32 has, for data as well-conditioned as ours.
"""

from typing import NamedTuple

import numpy as np

import jaxlinear as jl


class Moments(NamedTuple):
    """Means, and sums of products about them (about 0 without intercept)."""

    n: int
    mean_x: np.ndarray
    mean_y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray


def moments(x, y, intercept: bool = True, rows: int = 2**16) -> Moments:
    """In blocks of rows: a tall x is never whole in float64."""
    n, d = x.shape
    mean_x, mean_y = np.zeros(d), np.zeros(y.shape[1:])
    if intercept:
        mean_x, mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    xx, xy = np.zeros((d, d)), np.zeros((d, *y.shape[1:]))
    for start in range(0, n, rows):
        block = x[start : start + rows] - mean_x
        xx += block.T @ block
        xy += block.T @ (y[start : start + rows] - mean_y)
    return Moments(n, mean_x, mean_y, xx, xy)


def solve(made: Moments, l2: float) -> jl.Linear:
    """Ridge; least squares at l2 = 0."""
    w = np.linalg.solve(made.xx + made.n * l2 * np.eye(len(made.xx)), made.xy).T
    return jl.Linear(w, made.mean_y - w @ made.mean_x)


def ridge(x, y, l2: float, intercept: bool = True) -> jl.Linear:
    """One problem."""
    return solve(moments(x, y, intercept), l2)


def stack(fits) -> jl.Linear:
    """Many fits as one, along a new first axis."""
    return jl.Linear(*map(np.stack, zip(*fits, strict=True)))


def leave_one_out(x, y, l2s) -> np.ndarray:
    """Mean squared errors (m, k) of examples left out: residuals over 1 − leverage."""
    made = moments(x, y)
    values, vectors = np.linalg.eigh(made.xx)
    z, sides = (x - made.mean_x) @ vectors, vectors.T @ made.xy
    squares, y = np.square(z), y - made.mean_y

    def score(alpha):
        inverse = 1 / (values + alpha)
        residual = y - z @ (inverse[:, None] * sides)
        left = 1 - 1 / made.n - squares @ inverse
        return np.mean(np.square(residual / left[:, None]), axis=0)

    return np.stack([score(made.n * l2) for l2 in l2s])


def k_fold(x, y, l2s, folds: int) -> np.ndarray:
    """Mean squared errors (m, k) of contiguous folds, as scikit-learn's ``KFold`` has them."""
    total = np.zeros((len(l2s), y.shape[1]))
    for held in np.array_split(np.arange(len(x)), folds):
        made = moments(np.delete(x, held, axis=0), np.delete(y, held, axis=0))
        values, vectors = np.linalg.eigh(made.xx)
        z, sides = (x[held] - made.mean_x) @ vectors, vectors.T @ made.xy
        target = y[held] - made.mean_y
        for i, l2 in enumerate(l2s):
            predicted = z @ (sides / (values + made.n * l2)[:, None])
            total[i] += np.sum(np.square(target - predicted), axis=0)
    return total / len(x)


def softmax_objective(params: jl.Linear, x, y, l2: float, rows: int = 4096) -> float:
    """The mean cross-entropy and the penalty, a few thousand examples at a time."""
    w, b = (np.asarray(leaf, np.float64) for leaf in params)
    total = 0.0
    for start in range(0, len(y), rows):
        o = x[start : start + rows].astype(np.float64) @ w.T + b
        o -= o.max(axis=1, keepdims=True)
        label = y[start : start + rows]
        total += np.sum(np.log(np.exp(o).sum(axis=1)) - o[np.arange(len(label)), label])
    return total / len(y) + l2 / 2 * np.sum(w**2)


def logistic_objective(params: jl.Linear, x, y, l2: float) -> np.ndarray:
    """Those of k labels (n, k), or of one (n,)."""
    w, b = (np.asarray(leaf, np.float64) for leaf in params)
    o = x.astype(np.float64) @ w.T + b
    return np.mean(np.logaddexp(0, o) - y * o, axis=0) + l2 / 2 * np.sum(w**2, axis=-1)


def logistic_optimum(x, y, l2: float) -> float:
    """The objective after Newton's method, until the gradient is rounding."""
    design = np.hstack([x, np.ones((len(x), 1))]).astype(np.float64)
    penalty = np.append(np.full(x.shape[1], l2), 0.0)
    theta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ theta))
        gradient = design.T @ (p - y) / len(y) + penalty * theta
        hessian = (design.T * (p * (1 - p))) @ design / len(y) + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        theta -= step
        if gradient @ step < 1e-20:
            return float(logistic_objective(jl.Linear(theta[:-1], theta[-1]), x, y, l2))
    raise ArithmeticError("Newton's method in float64 has not converged")


def _of_classes(o, y):
    o = o - o.max(axis=1, keepdims=True)
    return np.log(np.exp(o).sum(axis=1)) - o[np.arange(len(y)), y]


def _huber(o, y):
    size = np.abs(o - y)
    return np.where(size <= 1, size**2 / 2, size - 0.5)


LOSSES = {
    "softmax_cross_entropy": _of_classes,
    "logistic": lambda o, y: np.logaddexp(0, o) - y * o,
    "poisson": lambda o, y: np.exp(o) - y * o,
    "gamma": lambda o, y: y * np.exp(-o) + o,
    "huber": _huber,
}


def objective(loss: str, params: jl.Linear, x, y, l2: float, numbers: int = 2**24):
    """The mean loss and the penalty; (k,) of k targets (n, k). In blocks of so many numbers."""
    w, b = (np.asarray(leaf, np.float64) for leaf in params)
    rows = max(1, numbers // max(x.shape[1], b.size))
    total = 0.0
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        o = x[part].astype(np.float64) @ w.T + b
        total = total + np.sum(LOSSES[loss](o, y[part]), axis=0)
    squares = np.sum(w**2, axis=-1)
    return total / len(x) + l2 / 2 * (squares if y.ndim > 1 else squares.sum())
