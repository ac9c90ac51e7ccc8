"""Robust errors, covariances and Wald's test against statsmodels and NumPy."""

from typing import NamedTuple

import jax
import numpy as np
import oracles
import pytest

import jaxlinear as jl
from jaxlinear.inference import Clusters, NeweyWest, covariance, log_p, of_least_squares, wald

N, D, K = 60, 3, 2


class Problem(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    cluster: np.ndarray


def problem(weighted=False):
    """Examples whose spread grows with a column; where weighted, one is absent, and holds NaN."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * [1, 10, 0.1] + [3, 50, -1]
    y = x @ rng.normal(size=(D, K)) + rng.normal(size=(N, K)) * np.abs(x[:, :1]) + 5
    weight, cluster = None, rng.integers(0, 9, N)
    if weighted:
        weight = rng.uniform(0.5, 2, N)
        weight[-1], x[-1], y[-1] = 0, np.nan, np.nan
        cluster[-1] = 99
    return Problem(x, y, weight, cluster)


def on_clusters(correction):
    return lambda cluster: Clusters(cluster, correction)


def of_lags(*arguments):
    return lambda cluster: NeweyWest(*arguments)


KINDS = {
    # name: (errors of the clusters, what statsmodels calls them, its options)
    "classical": (lambda cluster: "classical", "nonrobust", {}),
    "hc0": (lambda cluster: "hc0", "HC0", {}),
    "hc1": (lambda cluster: "hc1", "HC1", {}),
    "hc2": (lambda cluster: "hc2", "HC2", {}),
    "hc3": (lambda cluster: "hc3", "HC3", {}),
    "clusters": (on_clusters("stata"), "cluster", {}),
    "clusters, no factor": (on_clusters("none"), "cluster", {"use_correction": False}),
    "lags": (of_lags(4), "HAC", {"maxlags": 4}),
    "lags, stata": (of_lags(2, "stata"), "HAC", {"maxlags": 2, "use_correction": True}),
}


def stacked_errors(told, intercept):
    """(k, p), in the order of the covariance."""
    w, b = told.standard_error
    return np.concatenate([w, b[:, None]], axis=1) if intercept else w


def by_statsmodels(problem, intercept, name, options):
    api = pytest.importorskip("statsmodels.api")
    present = slice(None) if problem.weight is None else problem.weight > 0
    design = np.hstack([problem.x, np.ones((N, 1))]) if intercept else problem.x
    weight = 1.0 if problem.weight is None else problem.weight[present]
    if name == "cluster":
        options = {**options, "groups": problem.cluster[present]}
    for y in problem.y.T:
        model = api.WLS(y[present], design[present], weights=weight)
        yield model.fit(cov_type=name, cov_kwds=options or None)


def fitted(case, intercept=True):
    present = np.ones(N, bool) if case.weight is None else case.weight > 0
    weight = np.ones(N) if case.weight is None else case.weight
    parts = (part[present] for part in (case.x, case.y))
    return jl.Linear(*oracles.ridge(*parts, 0.0, weight[present], intercept))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("intercept", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.parametrize("weighted", [True, pytest.param(False, marks=pytest.mark.full)])
def test_statsmodels(kind, intercept, weighted, x64):
    of, name, options = kind
    case = problem(weighted)
    arguments = {"weight": case.weight, "intercept": intercept, "errors": of(case.cluster)}
    params = fitted(case, intercept)
    told = of_least_squares(params, case.x, case.y, **arguments)
    got = covariance(params, case.x, case.y, **arguments)
    expected = list(by_statsmodels(case, intercept, name, options))
    matrices = np.array([model.cov_params() for model in expected])
    np.testing.assert_allclose(got, matrices, rtol=1e-9, atol=1e-9 * np.abs(matrices).max())
    errors = np.array([model.bse for model in expected])
    np.testing.assert_allclose(stacked_errors(told, intercept), errors, rtol=1e-9)
    clusters = len(np.unique(case.cluster[: N - weighted]))
    freedom = clusters - 1 if name == "cluster" else expected[0].df_resid
    assert told.degrees_of_freedom == freedom


@pytest.mark.full
def test_the_factor_of_sandwich(x64):
    """G/(G − 1), and nothing for p."""
    x, y, _, cluster = problem()
    fit, groups = fitted(problem()), len(np.unique(cluster))
    plain, ours = (covariance(fit, x, y, errors=Clusters(cluster, c)) for c in ("none", "sandwich"))
    np.testing.assert_allclose(ours, plain * groups / (groups - 1), rtol=1e-12)


@pytest.mark.parametrize(
    "errors",
    ["hc3", *(pytest.param(other, marks=pytest.mark.full) for other in ("clusters", "lags"))],
)
def test_float32_with_columns_far_from_zero(errors):
    case = problem()
    single = [part.astype(np.float32) for part in (case.x, case.y + 1e4)]
    exact = case._replace(x=single[0].astype(float), y=single[1].astype(float))
    params = jax.tree.map(np.float32, fitted(exact))
    errors = {"clusters": Clusters(case.cluster), "lags": NeweyWest(3)}.get(errors, errors)
    got = of_least_squares(params, *single, errors=errors).standard_error
    with jax.enable_x64(True):
        expected = of_least_squares(fitted(exact), exact.x, exact.y, errors=errors).standard_error
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.full
def test_jit_and_vmap_over_problems(x64):
    x, y, _, cluster = problem()
    cases = [problem(), problem()._replace(x=x[::-1] + 1)]
    xs, ys = np.stack([case.x for case in cases]), np.stack([y, y])
    fits = jl.Linear(*(np.stack(leaf) for leaf in zip(*map(fitted, cases), strict=True)))

    def run(params, x, y):
        return of_least_squares(params, x, y, errors=Clusters(cluster)).standard_error

    together = jax.jit(jax.vmap(run))(fits, xs, ys)
    for i in range(2):
        alone = run(jax.tree.map(lambda leaf, i=i: leaf[i], fits), xs[i], ys[i])
        np.testing.assert_allclose(together.w[i], alone.w, rtol=1e-10)


def test_an_example_of_leverage_1_has_no_hc3(x64):
    """It alone determines a coefficient: nothing tells its variance."""
    x, y, *_ = problem()
    x = np.hstack([x, np.eye(N)[:, :1]])
    fit = jl.Linear(*oracles.ridge(x, y, 0.0, np.ones(N), True))
    told = of_least_squares(fit, x, y, errors="hc3")
    assert float(told.leverage[0]) == pytest.approx(1)
    assert np.isnan(told.standard_error.w).all()


@pytest.mark.full
def test_no_errors_away_from_the_optimum(x64):
    x, y, *_ = problem()
    params = jl.Linear(*oracles.ridge(x, y, 10.0, np.ones(N), True))
    assert np.isnan(covariance(params, x, y, errors="hc0")).all()


# ------------------------------------------------------------------ Wald

CONTRASTS = {
    "one": (np.array([[0.0, 1.0, 2.0, 0.0]]), 0.0),
    "two": (np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0]]), np.array([0.5, -1.0])),
    "all of w": (np.eye(4)[:3], 0.0),
}


@pytest.mark.parametrize("case", CONTRASTS.values(), ids=CONTRASTS)
def test_wald(case, x64):
    """Against statsmodels' F test with errors of clusters."""
    contrast, value = case
    given = problem()
    x, y = given.x, given.y
    fit, errors = fitted(given), Clusters(given.cluster)
    matrix = covariance(fit, x, y, errors=errors)
    got = wald(fit, matrix, contrast, value, df=len(np.unique(given.cluster)) - 1)
    for i, model in enumerate(by_statsmodels(given, True, "cluster", {})):
        known = model.f_test((contrast, np.broadcast_to(value, len(contrast))))
        assert float(got.f[i]) == pytest.approx(float(known.fvalue), rel=1e-9)
        assert float(np.exp(got.log_p[i])) == pytest.approx(float(known.pvalue), rel=1e-8)
        chi2 = model.wald_test((contrast, np.broadcast_to(value, len(contrast))), use_f=False)
        of_many = wald(fit, matrix, contrast, value)
        assert float(np.exp(of_many.log_p[i])) == pytest.approx(float(chi2.pvalue), rel=1e-8)


@pytest.mark.full
def test_wald_of_one_coefficient_is_its_t(x64):
    x, y, *_ = problem()
    fit = fitted(problem(), intercept=False)
    told = of_least_squares(fit, x, y, intercept=False, errors="hc3")
    matrix = covariance(fit, x, y, intercept=False, errors="hc3")
    t = fit.w[:, 1] / told.standard_error.w[:, 1]
    got = wald(fit, matrix, [0, 1, 0], df=told.degrees_of_freedom)
    np.testing.assert_allclose(got.f, t**2, rtol=1e-12)
    np.testing.assert_allclose(got.log_p, log_p.t(t, told.degrees_of_freedom), rtol=1e-10)


@pytest.mark.full
def test_dependent_contrasts_are_nan():
    fit, matrix = fitted(problem()), np.stack([np.eye(D + 1)] * K)
    for contrast in ([[1, 0, 0, 0], [2, 0, 0, 0]], [[0, 0, 0, 0]]):
        got = wald(fit, matrix, np.array(contrast))
        assert np.isnan(got.f).all() and np.isnan(got.log_p).all()


X, Y, _, NAMES = problem()
REFUSED = {
    "name": ("hc4", r"errors is 'hc4'; expected one of .*Clusters\(names\)"),
    "clusters": (Clusters(NAMES[1:]), r"names has 59 entries; expected 60"),
    "one cluster": (Clusters(np.zeros(N, int)), r"names holds 1 cluster; expected at least two"),
    "correction": (Clusters(NAMES, "hc1"), r"correction is 'hc1'; expected one of"),
    "lags": (NeweyWest(N), r"lags is 60; expected fewer than the 60 examples"),
    "no lags": (NeweyWest(0), r"lags is 0; expected a whole number"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refusals(case):
    errors, message = case
    params = jl.Linear(np.zeros((K, D)), np.zeros(K))
    with pytest.raises(ValueError, match=message):
        of_least_squares(params, X, Y, errors=errors)


def test_refusals_of_wald():
    params, matrix = jl.Linear(np.zeros(D), np.zeros(())), jax.numpy.eye(D + 1)
    for arguments, message in (
        ((matrix[:2, :2], np.ones(2)), r"covariance has shape \(2, 2\), and w \(3,\); expected"),
        ((matrix, np.ones(D)), r"contrast has shape \(3,\); expected \(q, 4\)"),
        ((matrix, np.ones(D + 1), np.ones(2)), r"value has shape \(2,\); expected a number"),
    ):
        with pytest.raises(ValueError, match=message):
            wald(params, *arguments)
