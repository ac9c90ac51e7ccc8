"""The right answers of exact fits, in float64 NumPy: what every rival is held to.

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
