"""All pairs against one least-squares regression for each, in NumPy."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxlinear.inference import all_pairs, pairs

N, M, T = 40, 23, 6


def problem(seed=0):
    rng = np.random.default_rng(seed)
    covariates = rng.normal(size=(N, 3)) * [1, 100, 0.01] + [0, 1000, 3]
    x = rng.normal(size=(N, M)) + covariates[:, :1] + 50
    y = x[:, rng.integers(0, M, T)] * 0.3 + rng.normal(size=(N, T)) + covariates[:, 2:] * 30
    return x, y, covariates


def by_regression(x, y, covariates, intercept):
    """(slope, t) of every pair (T, m), and the degrees of freedom."""
    shared = [np.ones((len(x), int(intercept)))]
    shared = np.hstack([*shared, *([] if covariates is None else [covariates])])
    slope, t = np.empty((2, y.shape[1], x.shape[1]))
    for j, column in enumerate(x.T):
        design = np.column_stack([column, shared])
        found, squares, rank, _ = np.linalg.lstsq(design, y, rcond=None)
        root = np.linalg.inv(np.linalg.qr(design, mode="r"))
        slope[:, j] = found[0]
        freedom = len(x) - rank
        t[:, j] = found[0] / np.sqrt(squares / freedom * np.square(root[0]).sum())
    return slope, t, freedom


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("with_covariates", "intercept"), [(True, True), (False, True), (False, False), (True, False)]
)
def test_every_pair(with_covariates, intercept, dtype, x64, monkeypatch):
    monkeypatch.setattr(pairs, "_NUMBERS", 5 * T)  # in blocks, of which the last overlaps
    jax.clear_caches()
    x, y, covariates = (part.astype(dtype) for part in problem())
    covariates = covariates if with_covariates else None
    got = all_pairs(x, y, covariates, top=M, intercept=intercept)
    jax.clear_caches()
    wide = [None if part is None else part.astype(float) for part in (x, y, covariates)]
    slope, t, freedom = by_regression(*wide, intercept)
    assert got.t.dtype == got.log_p.dtype == dtype
    assert (np.sort(got.regressor, axis=1) == np.arange(M)).all()
    tolerance = 1e-9 if dtype == np.float64 else 1e-3
    row = np.arange(T)[:, None]
    for one, other in ((got.slope, slope), (got.t, t)):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other[row, got.regressor], atol=tolerance * scale)
    expected = np.log(2) + stats.t.logsf(np.abs(t), freedom)[row, got.regressor]
    np.testing.assert_allclose(got.log_p, expected, rtol=10 * tolerance, atol=tolerance)
    assert (np.diff(got.log_p, axis=1) >= -tolerance).all()


def test_what_cannot_be_tested_is_nan_and_perfect_fits_are_certain():
    x, y, covariates = (part.astype(np.float32) for part in problem())
    x[:, 3], x[:, 4], x[:, 5] = 0.1, covariates[:, 0], covariates[:, 1] * 2 + 1
    y[:, 1], y[:, 2] = 7.3, x[:, 11] * 3 - 1
    got = all_pairs(x, y, covariates, top=M)
    valid = np.array(got.regressor) >= 0
    assert valid.sum(axis=1).tolist() == [M - 3, 0, *[M - 3] * (T - 2)]
    assert not np.isin(got.regressor, [3, 4, 5]).any()
    for leaf in got[1:]:
        np.testing.assert_array_equal(np.isnan(leaf), ~valid)
    assert got.regressor[2, 0] == 11 and got.t[2, 0] == np.inf and got.log_p[2, 0] == -np.inf
    np.testing.assert_allclose(got.slope[2, 0], 3, rtol=1e-4)


def test_correlations_near_1_lose_no_digits():
    """In float32 1 − r² has no digit here: r is 1 − 5e-9."""
    x, y, _ = problem()
    noise = np.random.default_rng(1).normal(size=N) * 1e-4
    x = (x - x.mean(axis=0)).astype(np.float32)
    y = (x[:, 4] + noise).astype(np.float32)
    got = all_pairs(x, y)
    _, t, freedom = by_regression(x.astype(float), y.astype(float)[:, None], None, True)
    assert got.regressor.tolist() == [4]
    np.testing.assert_allclose(got.t[0], t[0, 4], rtol=1e-3)
    np.testing.assert_allclose(got.log_p[0], np.log(2) + stats.t.logsf(t[0, 4], freedom), rtol=1e-4)


@pytest.mark.full
def test_a_covariate_twice_takes_one_degree_of_freedom(x64):
    x, y, covariates = problem()
    twice = np.hstack([covariates, covariates[:, :1]])
    once, other = all_pairs(x, y, covariates), all_pairs(x, y, twice)
    np.testing.assert_allclose(once.log_p, other.log_p, rtol=1e-8)


def test_p_values_of_noise_are_uniform():
    rng = np.random.default_rng(0)
    y, covariates = rng.normal(size=(25, 20_000)), rng.normal(size=(25, 2))
    x = rng.normal(size=(25, 1))
    told = all_pairs(*(part.astype(np.float32) for part in (x, y, covariates)))
    assert stats.kstest(np.exp(told.log_p[:, 0]), "uniform").pvalue > 0.01


X, Y, C = problem()
BROKEN = [np.where(np.arange(N)[:, None] == 3, np.nan, part) for part in (Y, C)]
REFUSED = {
    "top": (lambda: all_pairs(X, Y, top=M + 1), "top is 24; expected at most the 23 columns"),
    "rows": (lambda: all_pairs(X[:4], Y[:4], C[:4]), "x has 4 examples; expected at least 6"),
    "covariates": (lambda: all_pairs(X, Y, C[1:]), r"covariates has shape \(39, 3\); expected"),
    "nan": (lambda: all_pairs(X, BROKEN[0]), r"y\[3\] is "),
    "broken covariates": (lambda: all_pairs(X, Y, BROKEN[1]), r"covariates\[3, 0\] is nan"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refusals(case):
    call, message = case
    with pytest.raises(ValueError, match=message):
        call()
