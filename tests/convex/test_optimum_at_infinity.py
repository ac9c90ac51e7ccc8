"""Whether there is an optimum at all: statuses against linear programming."""

import functools

import jax
import numpy as np
import pytest
from cases import full_but
from scipy.optimize import linprog

import jaxlinear as jl

Status = jl.Status
N, D, CLASSES = 24, 3, 3


def falls_for_ever(rows, equal=None):
    """Whether there is a z with rows z ≥ 0, not all 0, and equal z = 0: a linear program."""
    options = (
        {} if equal is None or not len(equal) else {"A_eq": equal, "b_eq": np.zeros(len(equal))}
    )
    solved = linprog(
        -rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), **options
    )
    assert solved.status == 0
    return -solved.fun > 1e-7


def logistic(rng, x):
    w = rng.normal(size=x.shape[1]) * rng.choice([0.5, 2, 10])
    noise = rng.choice([0, 0.3, 1, 3])
    return (x @ w + noise * rng.logistic(size=len(x)) + rng.normal() > 0) * 1


def softmax(rng, x):
    w = rng.normal(size=(CLASSES, x.shape[1])) * rng.choice([0.5, 2, 10])
    noise = rng.choice([0, 0.3, 1, 3])
    y = np.argmax(x @ w.T + noise * rng.gumbel(size=(len(x), CLASSES)), axis=1)
    y[:CLASSES] = np.arange(CLASSES)  # every class has an example
    return y


def poisson(rng, x):
    w = rng.normal(size=x.shape[1]) * rng.choice([0.2, 1, 2])
    return rng.poisson(np.exp(np.clip(x @ w + rng.normal() - 1, -20, 4)))


def logistic_has_none(z, y):
    return falls_for_ever(z * (2 * y - 1)[:, None])


def softmax_has_none(z, y):
    rows = []
    for row, label in zip(z, y, strict=True):
        for other in range(CLASSES):
            if other != label:
                each = np.zeros((CLASSES, len(row)))
                each[label], each[other] = row, -row
                rows.append(each.ravel())
    return falls_for_ever(np.array(rows))


def poisson_has_none(z, y):
    return falls_for_ever(-z[y == 0], z[y > 0]) if (y == 0).any() else False


FAMILIES = {
    "logistic": (logistic, logistic_has_none, jl.logistic_regression),
    "softmax": (
        softmax,
        softmax_has_none,
        functools.partial(jl.softmax_regression, classes=CLASSES),
    ),
    "poisson": (poisson, poisson_has_none, jl.poisson_regression),
}


@functools.cache
def problems(name, count, seed=0):
    """Small whole numbers, so that many problems are separable by a hair, or but for one row."""
    rng = np.random.default_rng(seed)
    targets, has_none, _ = FAMILIES[name]
    found = []
    for _ in range(count):
        x = rng.integers(-3, 4, size=(N, D)).astype(float)
        if rng.uniform() < 0.5:
            x = np.where(rng.uniform(size=x.shape) < 0.5, 0.0, np.sign(x))
        y = targets(rng, x)
        n = rng.integers(6, N + 1)
        weight = (np.arange(N) < n) * 1.0
        z = np.column_stack([x, np.ones(N)])
        found.append((x, y, weight, has_none(z[:n], y[:n])))
    return tuple(np.stack(leaves) for leaves in zip(*found, strict=True))


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("name", full_but(FAMILIES, "logistic"))
def test_no_status_is_wrong(name, wide):
    x, y, weight, none = problems(name, 1000, seed=7)
    assert 0.1 < none.mean() < 0.9
    dtype = np.float64 if wide else np.float32
    fit = FAMILIES[name][2]

    def one(x, y, weight):
        return fit(x, y, weight=weight)

    with jax.enable_x64(wide):
        y = y if name == "softmax" else y.astype(dtype)
        fits = jax.jit(jax.vmap(one))(x.astype(dtype), y, weight.astype(dtype))
        status = np.asarray(fits.report.status)
    assert all(np.isfinite(leaf).all() for leaf in fits.params)
    assert (status[~none] == Status.CONVERGED).all()
    assert not (status[none] == Status.CONVERGED).any()
    # Rounding may end one in thousands before its direction is clear: it claims nothing.
    assert (status[none] != Status.DIVERGED).sum() <= 1
