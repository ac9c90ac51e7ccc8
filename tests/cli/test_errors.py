"""Errors of coefficients at an optimum, penalised or not, against the formula by hand."""

import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.cli import errors
from jaxlinear.cli.task import Part

rng = np.random.default_rng(0)
N, D = 300, 4
X = rng.normal(size=(N, D)) * [1.0, 2.0, 0.5, 1.0] + [0.0, 3.0, 0.0, -1.0]
W = np.array([0.5, -0.3, 0.2, 0.1])
TARGETS = {
    "squared_error": X @ W + rng.normal(size=N) * (1 + np.abs(X[:, 0])),
    "logistic": (X @ W + rng.logistic(size=N) > 0).astype(float),
    "poisson": rng.poisson(np.exp(X @ W)).astype(float),
    "softmax_cross_entropy": np.argmax(X[:, :3] + rng.gumbel(size=(N, 3)), axis=1),
}
WEIGHT = rng.uniform(0.5, 2, N)
GROUP = np.arange(N) % 40


def by_hand(loss, params, y, weight, l2, group, offset=0.0):
    """H⁻¹ M H⁻¹ in loops over the examples."""
    w, b = np.atleast_2d(params.w).astype(float), np.atleast_1d(params.b).astype(float)
    k, p = len(w), D + 1
    bends = np.kron(np.eye(k), np.diag([l2] * D + [0.0]))
    gradients = np.zeros((group.max() + 1, k * p))
    for i in range(N):
        o = w @ X[i] + b + offset
        if loss == "softmax_cross_entropy":
            share = np.exp(o - o.max()) / np.exp(o - o.max()).sum()
            first, second = share - np.eye(k)[y[i]], np.diag(share) - np.outer(share, share)
        else:
            mean, slope = {
                "squared_error": (o, np.ones(1)),
                "logistic": ((m := 1 / (1 + np.exp(-o))), m * (1 - m)),
                "poisson": (np.exp(o), np.exp(o)),
            }[loss]
            first, second = mean - y[i], np.diag(slope)
        row, each = np.append(X[i], 1.0), weight[i] / weight.sum()
        bends += each * np.kron(second, np.outer(row, row))
        gradients[group[i]] += each * np.kron(first, row)
    inverse = np.linalg.pinv(bends)
    groups = len(gradients)
    return inverse @ gradients.T @ gradients @ inverse * groups / (groups - 1)


@pytest.mark.parametrize("l2", [0.01, 0.3])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("loss", TARGETS)
def test_the_covariance_is_the_sandwich(loss, grouped, l2):
    y = TARGETS[loss]
    group = GROUP if grouped else None
    part = Part(X, y, WEIGHT, None, group)
    fit = jl.glm(getattr(jl.losses, loss), X, y, l2, weight=WEIGHT,
                 outputs=3 if y.dtype.kind == "i" else None)  # fmt: skip
    found = errors.at_optimum(loss, fit.params, part, l2)
    expected = by_hand(loss, fit.params, y, WEIGHT, l2, GROUP if grouped else np.arange(N))
    np.testing.assert_allclose(found.covariance, expected, atol=1e-6 * np.abs(expected).max())
    assert (found.noise is None) == (loss != "squared_error")


def test_without_a_penalty_they_are_the_robust_errors_of_inference():
    y = TARGETS["poisson"]
    fit = jl.poisson_regression(X, y)
    told = jl.inference.of_glm(jl.losses.poisson, fit, X, y)
    found = errors.at_optimum("poisson", fit.params, Part(X, y), 0.0)
    deviation = np.sqrt(np.diag(found.covariance) * (N - 1) / N)
    np.testing.assert_allclose(deviation[:D], told.robust_error.w, rtol=1e-3)
    np.testing.assert_allclose(deviation[D], told.robust_error.b, rtol=1e-3)


def test_the_units_of_columns_do_not_matter():
    y, shift, scale = TARGETS["logistic"], X.mean(0), X.std(0)
    standard = (X - shift) / scale
    fit = jl.logistic_regression(standard, y)
    found = errors.at_optimum("logistic", fit.params, Part(standard, y), 0.0)
    w = np.asarray(fit.params.w, float) / scale
    params = jl.Linear(w, float(fit.params.b) - w @ shift)
    expected = errors.at_optimum("logistic", params, Part(X, y), 0.0).covariance
    there = errors.rescaled(found, shift, scale, 1)
    np.testing.assert_allclose(there.covariance, expected, atol=1e-6 * np.abs(expected).max())
    back = errors.expressed(there, shift, scale, 1).covariance
    np.testing.assert_allclose(back, found.covariance, rtol=1e-6, atol=1e-12)
    low, high = errors.intervals(params, there)
    np.testing.assert_allclose((high.w - low.w) / 2 / 1.959964, np.sqrt(np.diag(expected))[:D])
    away = errors.of_outputs(there, X[:5], 1)[:, 0]
    ones = np.column_stack([X[:5], np.ones(5)])
    np.testing.assert_allclose(away, np.sqrt(np.diag(ones @ expected @ ones.T)), rtol=1e-4)


def test_intervals_hold_what_they_promise():
    """Of 400 samples of a model about 95 % have the true coefficients in their intervals."""
    draws = np.random.default_rng(1)
    inside = np.zeros((400, 2), bool)
    for place in range(400):
        x = draws.normal(size=(80, 1))
        y = 2 * x[:, 0] + 1 + draws.normal(size=80) * (0.5 + np.abs(x[:, 0]))
        w, b = np.polyfit(x[:, 0], y, 1)
        params = jl.Linear(np.array([w]), np.array(b))
        found = errors.at_optimum("squared_error", params, Part(x, y), 0.0)
        low, high = errors.intervals(params, found)
        inside[place] = low.w[0] <= 2 <= high.w[0], low.b <= 1 <= high.b
    assert (inside.mean(axis=0) > 0.91).all() and (inside.mean(axis=0) < 0.98).all()


@pytest.mark.parametrize(("loss", "x"), [("absolute", X), ("squared_error", X.astype(np.uint8))])
def test_where_there_are_none(loss, x):
    params = jl.Linear(W, np.array(0.0))
    assert errors.at_optimum(loss, params, Part(x, TARGETS["squared_error"]), 0.0) is None
