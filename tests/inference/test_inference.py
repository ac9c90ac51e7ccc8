"""Standard errors, R² and leverages against the textbook in NumPy, and certified sets."""

import json
from pathlib import Path

import jax
import numpy as np
import oracles
import pytest

import jaxlinear as jl
from jaxlinear import inference

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the reference sets are not beside the checkout"
)


# ------------------------------------------------------------------ the textbook

N, D = 14, 3


def problem(*outputs, weighted=False):
    """Columns away from 0; where weighted, one of the examples is absent and NaN."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * [1, 10, 0.1] + [3, 50, -1]
    y = rng.normal(size=(N, *outputs)) + (x @ rng.normal(size=(D, *outputs)))
    if not weighted:
        return jl.Batch(x, y)
    weight = rng.uniform(0.5, 3, N)
    weight[2], x[2], y[2] = 0, np.nan, np.nan
    return jl.Batch(x, y, weight)


def present(batch):
    weight = np.ones(len(batch.x)) if batch.weight is None else batch.weight
    return [part[weight > 0] for part in (batch.x, batch.y, weight)]


def fitted(batch, intercept):
    x, y, weight = present(batch)
    return jl.Linear(*oracles.ridge(x, y, 0.0, weight, intercept))


def textbook(batch, intercept):
    """(SE of b and w, variance, n − p, R², leverage) by (XᵀWX)⁻¹, the ones a column of X."""
    x, y, weight = present(batch)
    design = np.hstack([np.ones((len(x), int(intercept))), x])
    n, p = design.shape
    inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
    residual = y - design @ (inverse @ design.T @ (weight * y.T).T)
    squares = weight @ np.square(residual)
    errors = np.sqrt(np.multiply.outer(squares / (n - p), np.diag(inverse)))
    center = np.average(y, 0, weight) if intercept else 0
    r2 = 1 - squares / (weight @ np.square(y - center))
    leverage = weight * np.einsum("ni,ij,nj->n", design, inverse, design)
    return errors, squares / (n - p), n - p, r2, leverage


def errors_of(got, intercept):
    """The standard errors in the order of the textbook."""
    b, w = np.asarray(got.standard_error.b)[..., None], np.asarray(got.standard_error.w)
    return np.concatenate([b, w], axis=-1) if intercept else w


def assert_textbook(got, batch, intercept, tolerance):
    errors, variance, freedom, r2, leverage = textbook(batch, intercept)
    np.testing.assert_allclose(errors_of(got, intercept), errors, rtol=tolerance)
    np.testing.assert_allclose(got.variance, variance, rtol=tolerance)
    assert got.degrees_of_freedom == freedom
    np.testing.assert_allclose(got.r2, r2, rtol=tolerance)
    absent = np.zeros(N, bool) if batch.weight is None else batch.weight == 0
    np.testing.assert_allclose(got.leverage[~absent], leverage, rtol=tolerance)
    np.testing.assert_array_equal(got.leverage[absent], 0)
    assert float(got.leverage.sum()) == pytest.approx(D + intercept, rel=tolerance)
    if not intercept:
        np.testing.assert_array_equal(got.standard_error.b, 0)


CASES = {
    # name: (outputs, weighted, intercept)
    "one target": ((), False, True),
    "two targets, weights": ((2,), True, True),
    "two targets, no b": ((2,), False, False),
    "weights, no b": ((), True, False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_the_textbook(case, x64):
    outputs, weighted, intercept = case
    batch = problem(*outputs, weighted=weighted)
    params = fitted(batch, intercept)
    got = inference.of_least_squares(
        params, batch.x, batch.y, weight=batch.weight, intercept=intercept
    )
    assert_textbook(got, batch, intercept, 1e-9)
    assert got.standard_error.w.shape == params.w.shape
    assert got.standard_error.b.shape == got.variance.shape == got.r2.shape == outputs


def test_vmap_in_float32_has_five_digits():
    """Of every problem, though the columns are far from zero."""
    single = jax.tree.map(np.float32, problem(2, weighted=True))
    problems = [single, single._replace(x=single.x[:, ::-1], weight=single.weight * 2)]
    exact = [jax.tree.map(np.float64, batch) for batch in problems]
    params = [jax.tree.map(np.float32, fitted(batch, True)) for batch in exact]
    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *zip(params, problems, strict=True))

    @jax.vmap
    def run(params, batch):
        return inference.of_least_squares(params, batch.x, batch.y, weight=batch.weight)

    got = run(*stack)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {np.dtype(np.float32)}
    for i, batch in enumerate(exact):
        assert_textbook(jax.tree.map(lambda leaf, i=i: leaf[i], got), batch, True, 1e-5)


# ------------------------------------------------------------------ certified sets


def read(name):
    return json.loads((REFERENCE / f"{name}.json").read_text())


# Digits that a condition number leaves, of 15. Of Wampler's the largest variance inflation is
# 2.6e5: a rounding costs 6e-11, of which one CPU shows 6e-12 and another 1.2e-11.
DIGITS = {
    "Norris": 12,
    "Pontius": 12,
    "NoInt1": 13,
    "NoInt2": 13,
    "Filip": 7,
    "Longley": 12,
    "Wampler1": 10,
    "Wampler2": 10,
    "Wampler3": 10,
    "Wampler4": 10,
    "Wampler5": 10,
}


@needs_reference
@pytest.mark.parametrize("name", DIGITS)
def test_certified_standard_errors(name, x64):
    """Around the certified coefficients, so that nothing but the inference is tested."""
    known, tolerance = read(f"nist/{name}"), 10.0 ** -DIGITS[name]
    x, y = np.array(known["X_raw"]).reshape(known["n_obs"], -1), np.array(known["y"])
    if known["polynomial_degree"]:
        x = x ** np.arange(1, known["polynomial_degree"] + 1)
    coefficients = np.array(known["coef_exact_20_digits"], float)
    intercept = known["intercept"]
    b, w = (coefficients[0], coefficients[1:]) if intercept else (0.0, coefficients)
    got = inference.of_least_squares(jl.Linear(w, np.float64(b)), x, y, intercept=intercept)
    certified = np.array(known["coef_se_certified"])
    # Where y has no noise, the certified error is 0.
    allowed = np.where(certified == 0, 1e-9 * np.abs(coefficients), tolerance * certified)
    assert (np.abs(errors_of(got, intercept) - certified) <= allowed).all()
    spread = known["residual_sd_certified"]
    assert float(np.sqrt(got.variance)) == pytest.approx(spread, rel=tolerance, abs=1e-9)
    assert float(got.r2) == pytest.approx(known["r2_certified"], rel=tolerance)
    assert got.degrees_of_freedom == known["anova"]["df_residual"]


@needs_reference
def test_diabetes(x64):
    """Every ridge of the set, and least squares with its standard errors."""
    known = read("glm/diabetes_ols_ridge_lasso_enet")
    x, y, exact = np.array(known["X"]), np.array(known["y"]), known["exact"]
    alphas = np.array([0.0, *(case["alpha"] for case in exact["ridge"])])
    # The set's objective is ‖y − X w − b‖² + alpha ‖w‖².
    path = jl.ridge_path(x, y, alphas / len(x)).params
    np.testing.assert_allclose(path.w[1:], [c["coef"] for c in exact["ridge"]], rtol=1e-11)
    np.testing.assert_allclose(path.b[1:], [c["intercept"] for c in exact["ridge"]], rtol=1e-13)
    params = jax.tree.map(lambda leaf: leaf[0], path)
    got = inference.of_least_squares(params, x, y)
    coefficients = np.array(exact["ols"]["coef_20_digits"], float)
    np.testing.assert_allclose(np.hstack(params[::-1]), coefficients, rtol=1e-12)
    np.testing.assert_allclose(errors_of(got, True), exact["ols"]["coef_se"], rtol=1e-11)
    assert float(np.sqrt(got.variance)) == pytest.approx(exact["ols"]["residual_sd"], rel=1e-13)
    assert float(got.r2) == pytest.approx(known["published"]["ols"]["r2"], abs=5e-5)
    assert got.leverage.sum() == pytest.approx(known["n_features"] + 1)


@needs_reference
def test_rank_deficient(x64):
    """p is the rank; the errors are those of what x determines."""
    known = read("glm/rank_deficient_lm")
    x, y = np.array(known["X"])[:, 1:], np.array(known["y"])
    fit = jl.least_squares(x, y, refine=False)
    assert fit.report.status == jl.Status.RANK_DEFICIENT
    np.testing.assert_allclose(jl.predict(fit.params, x), known["exact"]["fitted"], rtol=1e-13)
    got = inference.of_least_squares(fit.params, x, y)
    assert got.degrees_of_freedom == known["published"]["df_residual"]
    assert float(got.variance) == pytest.approx(known["published"]["dispersion"], rel=1e-12)
    away = x - x.mean(axis=0)
    spread = np.diag(np.linalg.pinv(away.T @ away, rcond=1e-10))
    np.testing.assert_allclose(got.standard_error.w, np.sqrt(got.variance * spread), rtol=1e-9)
    hat = known["X"] @ np.linalg.pinv(known["X"], rcond=1e-10)
    np.testing.assert_allclose(got.leverage, np.diag(hat), rtol=1e-9)


# ------------------------------------------------------------------ away from the optimum


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_errors_away_from_the_optimum(dtype):
    """After a penalty, of a fit that failed, and of parameters moved by half an error."""
    with jax.enable_x64(dtype is np.float64):
        batch = jax.tree.map(lambda leaf: leaf.astype(dtype), problem(2))
        x, y = batch.x, batch.y
        fit, of = jl.least_squares(x, y), jax.jit(inference.of_least_squares)
        told = of(fit, x, y)
        for same, other in zip(
            jax.tree.leaves(told), jax.tree.leaves(of(fit.params, x, y)), strict=True
        ):
            np.testing.assert_array_equal(same, other)
        assert np.isfinite(told.standard_error.w).all()
        for other in (jl.ridge(x, y, 10.0), jl.ridge(x, y, 10.0).params):
            assert np.isnan(of(other, x, y).standard_error.w).all()
        w = fit.params.w + np.array([[0.5], [0.0]], dtype) * told.standard_error.w
        moved = of(fit.params._replace(w=w), x, y).standard_error
        assert np.isnan(moved.w).all(axis=1).tolist() == [True, False]
        assert np.isnan(moved.b).tolist() == [True, False]
        failed = fit._replace(report=fit.report._replace(status=jl.Status.DIVERGED))
        assert np.isnan(inference.of_least_squares(failed, x, y).standard_error.w).all()


def test_a_fit_without_residuals_has_errors(x64):
    x = problem().x
    y = x @ [1.0, 2.0, 3.0] + 4
    told = inference.of_least_squares(jl.least_squares(x, y), x, y)
    assert (told.standard_error.w < 1e-10).all()


# ------------------------------------------------------------------ refusals

X, Y = problem(2)[:2]
PARAMS = jl.Linear(np.zeros((2, D)), np.zeros(2))
NAN = np.where(np.arange(N * D).reshape(N, D) == 7, np.nan, X)

REFUSED = {
    # name: (params, x, y, options, message)
    "no example to spare": (
        PARAMS, X[: D + 1], Y[: D + 1], {}, r"x has shape \(4, 3\).*the 4 coef",
    ),
    "none to spare, no b": (
        PARAMS, X[:D], Y[:D], {"intercept": False}, r"x has shape \(3, 3\).*the 3 coef",
    ),
    "other targets": (PARAMS, X, Y[:, 0], {}, r"params have w \(2, 3\); expected \(3,\)"),
    "other features": (PARAMS, X[:, :2], Y, {}, r"params have w \(2, 3\); expected \(2, 2\)"),
    "nan": (PARAMS, NAN, Y, {}, r"x\[2, 1\] is nan"),
    "weight": (PARAMS, X, Y, {"weight": -np.ones(N)}, r"weight\[0\] is -1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused(case):
    params, x, y, options, message = case
    with pytest.raises(ValueError, match=message):
        inference.of_least_squares(params, x, y, **options)


def test_absent_examples_are_none_to_spare():
    weight = (np.arange(N) <= D).astype(float)
    with pytest.raises(ValueError, match="4 examples of weight > 0; expected more"):
        inference.of_least_squares(PARAMS, X, Y, weight=weight)
