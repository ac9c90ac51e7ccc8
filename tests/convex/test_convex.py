"""Optima of convex losses: their gradient, in NumPy, is 0; and what is told of others."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import full_but
from convex_cases import CASES, bernoulli, problem, status
from differences import assert_derivatives

import jaxlinear as jl
from jaxlinear.convex import turns
from jaxlinear.convex.preconditioners import choice
from jaxlinear.convex.preconditioners.cholesky import cholesky
from jaxlinear.convex.preconditioners.delayed import gram_after
from jaxlinear.convex.preconditioners.diagonal import diagonal
from jaxlinear.convex.preconditioners.eigenbasis import eigenbasis
from jaxlinear.convex.preconditioners.subsampled import subsampled_after

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "glm"
Status = jl.Status
FORMS = {
    "exact": cholesky,
    "gram": gram_after(4),
    "gram of rows": gram_after(4, by_rows=True),
    "diagonal": diagonal,
    "sampled": subsampled_after(4),
    "shared": eigenbasis,
}


some_cases = pytest.mark.parametrize("name", ["softmax", "logistic-3", "poisson"])


def gradient(name, params, x, y, weight, l2, offset=0.0):
    """The derivatives of the objective in w (…, d) and b (…)."""
    w, b = (np.asarray(leaf, float) for leaf in params)
    slopes = CASES[name].slopes(x @ w.T + b + offset, y)
    mean = (weight / weight.sum()) @ slopes
    share = weight / weight.sum()
    of_w = np.tensordot(slopes * share.reshape(-1, *[1] * (slopes.ndim - 1)), x, (0, 0))
    return of_w + np.multiply(np.reshape(l2, (*np.shape(l2), 1)) if np.ndim(l2) else l2, w), mean


def assert_optimal(name, fit, batch, l2, tolerance, offset=0.0, *, intercept=True):
    of_w, of_b = gradient(name, fit.params, *batch, l2, offset)
    scale = np.array([0.1, 1, 10])
    np.testing.assert_allclose(of_w / scale, 0, atol=tolerance)
    if intercept:
        np.testing.assert_allclose(of_b, 0, atol=tolerance)
    assert set(status(fit)) == {Status.CONVERGED}


# ------------------------------------------------------------------ the optimum


@pytest.mark.parametrize(
    ("name", "intercept"), [*((name, True) for name in CASES), ("softmax", False), ("gamma", False)]
)
def test_the_gradient_is_0(name, intercept, x64):
    for l2 in (0.0, 0.1):
        x, y, weight = problem(name)
        fit = CASES[name].fit(x, y, l2, weight=weight, intercept=intercept)
        assert_optimal(name, fit, (x, y, weight), l2, 1e-10, intercept=intercept)
        assert intercept or not np.any(fit.params.b)


@some_cases
def test_single_precision_is_kept_and_right(name):
    x, y, weight = problem(name, n=200)
    fit = CASES[name].fit(np.float32(x), y if y.dtype == int else np.float32(y), 0.01)
    assert fit.params.w.dtype == fit.params.b.dtype == np.float32
    assert_optimal(name, fit, (x, y, np.ones_like(weight)), 0.01, 1e-5)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("softmax", "sampled"),
        ("softmax", "shared"),
        ("logistic", "sampled"),
        ("logistic-3", "shared"),
    ],
)
def test_every_form_of_the_curvature_ends_at_the_optimum(name, form, x64, monkeypatch):
    """Derivatives too, which go through it. The rest of this file has the exact form."""
    monkeypatch.setattr(choice, "choose", lambda *sizes: FORMS[form])
    x, y, weight = problem(name)
    fit = CASES[name].fit(x, y, 0.01, weight=weight)
    assert_optimal(name, fit, (x, y, weight), 0.01, 1e-7)

    classes = {"classes": 3} if name == "softmax" else {}

    def total(x):
        return jnp.sum(jnp.sin(CASES[name].fit(x, y, 0.01, weight=weight, **classes).params.w))

    direction = np.random.default_rng(1).normal(size=x.shape)
    slope = np.vdot(jax.jit(jax.grad(total))(x), direction)
    monkeypatch.setattr(choice, "choose", lambda *sizes: cholesky)
    expected = (total(x + 1e-5 * direction) - total(x - 1e-5 * direction)) / 2e-5
    assert slope == pytest.approx(float(expected), rel=1e-4)


def test_classes_sum_to_0(x64):
    x, y, weight = problem("softmax")
    for l2 in (0.0, 0.1):
        params = jl.softmax_regression(x, y, l2, weight=weight).params
        np.testing.assert_allclose(params.w.sum(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(params.b.sum(), 0, atol=1e-9)


def test_l2_may_differ_by_output(x64):
    l2 = np.array([0.0, 0.1, 1.0])
    batch = problem("softmax")
    fit = jl.softmax_regression(*batch[:2], l2, weight=batch[2])
    assert_optimal("softmax", fit, batch, l2, 1e-10)


def test_bytes_are_scaled():
    x = np.random.default_rng(0).integers(0, 256, size=(40, 3)).astype(np.uint8)
    y = (x[:, 0] > 100) ^ (np.arange(40) % 7 == 0)
    bytes_, floats = (jl.logistic_regression(a, y, 0.01) for a in (x, np.float32(x / 255)))
    np.testing.assert_allclose(bytes_.params.w, floats.params.w, rtol=1e-4)


def inverse_gamma(o, y):
    return y * o - jnp.log(o)


PUBLISHED = {
    "admit_logit": jl.losses.logistic,
    "dobson_poisson": jl.losses.poisson,
    "anorexia_gaussian_offset": jl.losses.squared_error,
    "anorexia_poisson_offset": jl.losses.poisson,
    "anorexia_poisson_offset_freqweights": jl.losses.poisson,
    "clotting_lot1_gamma_inverse": inverse_gamma,
    "clotting_lot2_gamma_inverse": inverse_gamma,
}


def published(name):
    """The loss, the data with the column of ones first, the options, and what is known."""
    if not REFERENCE.exists():
        pytest.skip("reference results are not at hand")
    known = json.loads((REFERENCE / f"{name}.json").read_text())
    x, y = np.array(known["X"]), np.array(known["y"])
    options = {"offset": np.array(known["offset"])} if "offset" in known else {}
    if "weights_or_trials" in known:
        options["weight"] = np.array(known["weights_or_trials"])
    return PUBLISHED[name], x, y, options, known["exact"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_results(name, x64):
    loss, x, y, options, exact = published(name)
    init = None
    if loss is inverse_gamma:  # defined for o > 0 alone
        init = jl.Linear(np.array([1 / y.mean(), 0]), np.array(0.0))
    fit = jl.glm(loss, x, y, intercept=False, init=init, **options)
    assert status(fit) == [Status.CONVERGED]
    np.testing.assert_allclose(fit.params.w, exact["coef"], rtol=1e-7, atol=1e-8)
    told = jl.inference.of_glm(loss, fit.params, x, y, intercept=False, **options)
    np.testing.assert_allclose(told.standard_error.w, exact["coef_se"], rtol=1e-6)
    assert float(told.dispersion) == pytest.approx(exact["dispersion"], rel=1e-6)
    if loss is not inverse_gamma:
        assert float(told.deviance) == pytest.approx(exact["deviance"], rel=1e-10)
        assert float(told.log_likelihood) == pytest.approx(exact["loglik"], rel=1e-10)


@pytest.mark.parametrize(
    "name", [name for name in PUBLISHED if PUBLISHED[name] is not inverse_gamma]
)
def test_published_results_in_single_precision(name):
    """Of standardised columns: ŵ σ is known, and b at their means."""
    loss, x, y, options, exact = published(name)
    means, sizes = x[:, 1:].mean(axis=0), x[:, 1:].std(axis=0)
    options = {key: np.float32(value) for key, value in options.items()}
    fit = jl.glm(loss, np.float32((x[:, 1:] - means) / sizes), np.float32(y), **options)
    b, *w = exact["coef"]
    expected = np.hstack([b + means @ w, w * sizes])
    got = np.hstack([fit.params.b, fit.params.w])
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())


# ------------------------------------------------------------------ data as they come


@pytest.mark.parametrize("scales", [[1e-6, 1.0, 1e6], [1e12, 1.0, 1e-12]])
def test_scales_of_columns_do_not_matter(scales):
    x, y, _ = problem("logistic", n=200)
    x, scales = np.float32(x), np.array(scales, np.float32)
    plain, scaled = jl.logistic_regression(x, y), jl.logistic_regression(x * scales, y)
    assert status(scaled) == [Status.CONVERGED] and scaled.report.steps == plain.report.steps
    np.testing.assert_allclose(scaled.params.w * scales, plain.params.w, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e25])
def test_columns_whose_squares_are_not_numbers(scale):
    x, y, _ = problem("logistic", n=200)
    x, scale = np.float32(x), np.float32([1, scale, 1])
    plain, scaled = jl.logistic_regression(x, y), jl.logistic_regression(x * scale, y)
    assert status(scaled) == [Status.CONVERGED]
    np.testing.assert_allclose(scaled.params.w * scale, plain.params.w, rtol=1e-4)
    penalised = jl.logistic_regression(x * scale, y, 0.1)
    assert status(penalised) == [Status.CONVERGED]
    if scale[1] < 1:  # a weight that would count is too large
        assert abs(penalised.params.w[1]) < 1e-20


def test_many_classes_need_no_room_for_all_hessians():
    n, k = 600, 500
    x = np.random.default_rng(0).normal(size=(n, 20)).astype(np.float32)
    y = np.arange(n) % k
    assert choice.choose(n, k, 21, 1).memory
    fit = jl.softmax_regression(x, y, 0.1)
    assert status(fit) == [Status.CONVERGED]
    w, b = (np.asarray(leaf, float) for leaf in fit.params)
    slopes = oracles.softmax(x @ w.T + b) - oracles.one_hot(y, k)
    assert np.abs(slopes.T @ x / n + 0.1 * w).max() < 1e-5


def test_classes_without_a_penalty_share_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(900, 14)).astype(np.float32), rng.integers(0, 8, 900)
    fit = jl.softmax_regression(x, y)  # H has no curvature along what all classes share
    assert choice.choose(900, 8, 15, 1) is not cholesky
    assert status(fit) == [Status.CONVERGED]
    w, b = (np.asarray(leaf, float) for leaf in fit.params)
    slopes = oracles.softmax(x @ w.T + b) - oracles.one_hot(y, 8)
    assert np.abs(slopes.T @ x / 900).max() < 3e-5
    np.testing.assert_allclose(w.sum(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("outputs", [None, 5])
def test_a_start_without_curvature_is_left(outputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30)).astype(np.float32)
    y = 300 + 100 * x @ rng.normal(size=(30, outputs or 1)) + rng.normal(size=(200, outputs or 1))
    fit = jl.glm(jl.losses.huber, x, np.float32(y if outputs else y[:, 0]))
    assert set(status(fit)) == {Status.CONVERGED}
    residual = x @ np.asarray(fit.params.w, float).reshape(-1, 30).T + np.asarray(fit.params.b) - y
    assert np.abs(np.clip(residual, -1, 1).T @ x / 200).max() < 2e-4


def test_a_column_that_is_constant_in_one_fold_has_no_weight_there():
    x, y, _ = problem("logistic", n=80)
    x[:40, 1] = 3.0
    x, y = np.float32(x), np.float32(y)
    weight = np.float32([np.arange(80) < 40, np.arange(80) >= 40, np.ones(80)])
    fits = jax.jit(jax.vmap(lambda w: jl.logistic_regression(x, y, weight=w)))(weight)
    assert fits.params.w[0, 1] == pytest.approx(0, abs=1e-6) and abs(fits.params.w[1, 1]) > 1e-3
    for i in range(3):
        alone = jl.logistic_regression(x, y, weight=weight[i])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
            jax.tree.map(lambda leaf, i=i: leaf[i], fits.params),
            alone.params,
        )


def test_a_column_that_varies_in_one_row_has_a_weight_where_that_row_is():
    x, y, _ = problem("logistic", n=600)
    x[:, 1] = np.where(np.arange(600) == 5, 4.0, 3.0)
    x, y = np.float32(x), np.float32(y)
    weight = np.float32([np.ones(600), np.arange(600) != 5])
    fits = jax.vmap(lambda w: jl.logistic_regression(x, y, 1e-4, weight=w))(weight)
    alone = jl.logistic_regression(x, y, 1e-4)
    assert abs(alone.params.w[1]) > 1e-3 and abs(fits.params.w[1, 1]) < 1e-6
    np.testing.assert_allclose(fits.params.w[0], alone.params.w, rtol=1e-3, atol=1e-4)


def test_folds_share_the_columns_and_not_what_is_no_number():
    """A row of NaN is told to the models that have it, and absent for the others."""
    x, y, _ = problem("logistic", n=80)
    x, y = np.float32(x), np.float32(y)
    bad = x.copy()
    bad[3] = np.nan
    weight = np.ones((3, 80), np.float32)
    weight[:2, 3] = 0
    weight[1, 40:] = 0
    fit = jax.jit(jax.vmap(lambda x, w: jl.logistic_regression(x, y, 0.1, weight=w), (None, 0)))
    fits, sound = fit(bad, weight), fit(x, weight)
    assert status(fits) == [Status.CONVERGED, Status.CONVERGED, Status.NONFINITE_INPUT]
    np.testing.assert_allclose(fits.params.w[:2], sound.params.w[:2], rtol=1e-4, atol=1e-6)
    assert np.isnan(fits.params.w[2]).all()


def test_offsets_of_columns_do_not_matter():
    x, y, _ = problem("logistic", n=200)
    x = np.round(64 * x).astype(np.float32) / 64  # exact when moved
    plain, moved = jl.logistic_regression(x, y), jl.logistic_regression(x + np.float32(4096), y)
    np.testing.assert_allclose(moved.params.w, plain.params.w, rtol=1e-4)


def test_a_constant_column_has_no_weight():
    x, y, _ = problem("logistic")
    x[:, 1] = 0.1
    fit = jl.logistic_regression(np.float32(x), y)
    assert fit.params.w[1] == 0 and status(fit) == [Status.CONVERGED]


@some_cases
def test_weights_count_copies_and_zero_is_absent(name, x64):
    x, y, _ = problem(name, n=39)
    counts = np.arange(len(x)) % 3
    absent = counts == 0
    copies = np.repeat(np.arange(len(x)), counts)
    spoilt = np.where(absent[:, None], np.nan, x)
    spoilt_y = y if y.dtype == int else np.where(absent.reshape(-1, *[1] * (y.ndim - 1)), np.nan, y)
    fit = CASES[name].fit(spoilt, spoilt_y, 0.1, weight=counts * 1.0)
    same = CASES[name].fit(x[copies], y[copies], 0.1, weight=np.ones(len(copies)))
    assert jax.tree.map(jnp.shape, fit) == jax.tree.map(jnp.shape, same)
    for a, b in zip(fit.params, same.params, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_an_offset_is_added(x64):
    x, y, weight = problem("poisson")
    offset = np.random.default_rng(3).normal(size=len(x))
    fit = jl.poisson_regression(x, y, 0.1, offset=offset, weight=weight)
    assert_optimal("poisson", fit, (x, y, weight), 0.1, 1e-10, offset)


# ------------------------------------------------------------------ how it ended


THRESHOLD = np.linspace(-1, 1, 20)[:, None].astype(np.float32)


@pytest.mark.parametrize("y", [THRESHOLD[:, 0] > 0.05, np.ones(20)], ids=["two", "one class"])
def test_separable_classes_have_no_optimum(y):
    y = np.float32(y)
    fits = [
        jl.logistic_regression(THRESHOLD, y),
        jl.softmax_regression(THRESHOLD, np.int32(y), classes=2),
    ]
    for fit in fits:
        assert status(fit) == [Status.DIVERGED]
        assert all(np.isfinite(leaf).all() for leaf in fit.params)
        assert (jl.labels(fit.params, THRESHOLD) == y).all()
    # A penalty holds w, and nothing holds the intercept where all are of one class.
    held = Status.CONVERGED if (y == 0).any() else Status.DIVERGED
    assert status(jl.logistic_regression(THRESHOLD, y, 1e-4)) == [held]


def test_a_perfect_fit_converges():
    x, _, _ = problem("huber")
    fit = jl.glm(jl.losses.squared_error, np.float32(x), np.float32(x @ [1, 2, 3]))
    assert status(fit) == [Status.CONVERGED]
    np.testing.assert_allclose(fit.params.w, [1, 2, 3], rtol=1e-5)


def test_rates_that_overflow_on_the_way():
    x, y, _ = problem("poisson")
    fit = jl.poisson_regression(np.float32(1e4 * x), np.float32(1e5 * y))
    assert status(fit) == [Status.CONVERGED]
    of_w, of_b = gradient("poisson", fit.params, 1e4 * x, 1e5 * y, np.ones(len(x)), 0.0)
    assert abs(of_b) < 1e-4 * 1e5 * y.mean()
    assert (np.abs(of_w) < 1e-4 * 1e5 * y.mean() * 1e4 * np.abs(x).max(axis=0)).all()


@some_cases
def test_a_start_far_away_is_no_matter(name):
    """Logits of 1e4, rates beyond the largest number."""
    x, y, _ = problem(name, n=200)
    x, y = np.float32(x), y if y.dtype == int else np.float32(y)
    plain = CASES[name].fit(x, y, 0.01)
    far = jax.tree.map(lambda leaf: np.full(leaf.shape, 300.0), plain.params)
    far.w[..., 0] *= -np.arange(1.0, far.w.size // 3 + 1).reshape(far.b.shape)
    fit = CASES[name].fit(x, y, 0.01, init=far)
    assert set(status(fit)) == {Status.CONVERGED}
    np.testing.assert_allclose(fit.params.w, plain.params.w, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_kept(dtype):
    x, y, _ = problem("logistic")
    x = jnp.asarray(x, dtype)
    fit = jl.logistic_regression(x, y, 0.1)
    assert fit.params.w.dtype == fit.params.b.dtype == dtype
    single = jl.logistic_regression(x.astype(np.float32), y, 0.1)
    np.testing.assert_allclose(np.float32(fit.params.w), single.params.w, rtol=0.01)


def test_iris_setosa_is_separable():
    if not REFERENCE.exists():
        pytest.skip("reference results are not at hand")
    known = json.loads((REFERENCE / "glmnet_iris30_softmax_lasso.json").read_text())
    x, y = np.array(known["X"], np.float32), np.array(known["y"])
    setosa = y == np.unique(y)[0]
    fit = jl.logistic_regression(x, setosa)
    assert status(fit) == [Status.DIVERGED]
    assert (jl.labels(fit.params, x) == setosa).all()
    assert status(jl.logistic_regression(x, setosa, 1e-3)) == [Status.CONVERGED]


def test_too_few_steps_are_told():
    x, y, _ = problem("logistic")
    assert status(jl.logistic_regression(x, y, max_steps=2)) == [Status.MAX_STEPS]


@some_cases
def test_the_gap_is_a_bound(name, x64):
    x, y, weight = problem(name)
    rough = CASES[name].fit(x, y, 0.1, weight=weight, tol=0.1)
    fine = CASES[name].fit(x, y, 0.1, weight=weight)
    above = np.asarray(rough.report.objective - fine.report.objective)
    assert (above > 0).any() and (above <= rough.report.gap).all()
    assert (fine.report.gap < 1e-12).all()


def test_under_jit_bad_data_are_a_status():
    x, y, _ = problem("logistic")
    x[3, 1] = np.nan
    fit = jax.jit(jl.logistic_regression)(x, y)
    assert status(fit) == [Status.NONFINITE_INPUT] and np.isnan(fit.params.w).all()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (lambda x, y: (np.where(x > 2, np.nan, x), y), {}, r"x\[\d+, \d\] is nan"),
        (lambda x, y: (x, 2 * y + 0.5), {}, "numbers in"),
        (lambda x, y: (x, y[:-1]), {}, "y has shape"),
        (lambda x, y: (x, y, -1.0), {}, "l2 is -1"),
        (lambda x, y: (x, y), {"init": jl.Linear(np.zeros(2), np.zeros(()))}, "init has w"),
        (lambda x, y: (x, y), {"max_steps": 0}, "max_steps is 0"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, options, message):
    x, y, _ = problem("logistic")
    with pytest.raises(ValueError, match=message):
        jl.logistic_regression(*arguments(x, y), **options)


LABELS = np.arange(40) % 3


@pytest.mark.parametrize(
    ("fit", "spoil", "message"),
    [
        ("softmax", lambda x, y: (x, np.where(y == 2, -1, y)), "label"),
        ("softmax", lambda x, y: (x, np.where(y == 2, 3, y)), "label"),
        ("softmax", lambda x, y: (x, np.where(y == 2, 255, y).astype(np.uint8)), "label"),
        ("softmax", lambda x, y: (x, np.where(y == 2, 2**40, y)), "label"),
        ("softmax", lambda x, y: (x, y + 0.5), "integer labels"),
        ("softmax", lambda x, y: (x, y[:, None]), "integer labels"),
        ("softmax", lambda x, y: (x, 0 * y), "at least two classes|label"),
        ("softmax", lambda x, y: (x[:0], y[:0]), "at least one example"),
        ("softmax", lambda x, y: (x + 0j, y), "real numbers"),
        ("logistic", lambda x, y: (x, y - 1.0), r"numbers in \[0, 1\]"),
        ("logistic", lambda x, y: (x, np.where(y == 2, np.nan, 1.0)), "nan"),
        ("poisson", lambda x, y: (x, y - 1.0), "numbers ≥ 0"),
        ("poisson", lambda x, y: (x, np.where(y == 2, np.inf, 1.0)), "numbers ≥ 0"),
        ("poisson", lambda x, y: (x, y.astype(str)), "real numbers"),
    ],
)
def test_bad_targets_are_refused_by_name(fit, spoil, message):
    x, y = spoil(np.ones((40, 3), np.float32), LABELS)
    options = {"classes": 3} if fit == "softmax" and "two" not in message else {}
    with pytest.raises((ValueError, TypeError), match=message):
        CASES[fit].fit(x, y, **options)


def test_what_glm_refuses():
    x, y, _ = problem("poisson")
    with pytest.raises(ValueError, match="absolute has kinks"):
        jl.glm(jl.losses.absolute, x, y)
    with pytest.raises(ValueError, match=r"offset has shape \(40, 1\); expected \(40,\)"):
        jl.poisson_regression(x, y, offset=y[:, None])
    with pytest.raises(ValueError, match=r"offset\[0\] is nan"):
        jl.poisson_regression(x, y, offset=np.full(40, np.nan))


# ------------------------------------------------------------------ many models


def test_jit_equals_eager_and_vmap_equals_a_loop():
    problems = [problem("logistic", seed=seed)[:2] for seed in range(4)]
    x, y = (np.stack(part).astype(np.float32) for part in zip(*problems, strict=True))
    l2 = np.float32([0.0, 0.01, 0.1, 1.0])
    many = jax.jit(jax.vmap(jl.logistic_regression))(x, y, l2)
    for i in range(4):
        alone = jl.logistic_regression(x[i], y[i], l2[i])
        np.testing.assert_allclose(many.params.w[i], alone.params.w, rtol=1e-4, atol=1e-6)
        assert many.report.steps[i] == alone.report.steps


@pytest.mark.parametrize("form", ["exact", "shared"])
def test_blocks_of_models_are_as_many_fits(form, monkeypatch):
    """Of problems with an x of their own, and a form that remembers steps."""
    monkeypatch.setattr(turns, "_BLOCK", 3)
    monkeypatch.setattr(choice, "choose", lambda *sizes: FORMS[form])
    problems = [problem("logistic", seed=seed)[:2] for seed in range(8)]
    x, y = (np.stack(part).astype(np.float32) for part in zip(*problems, strict=True))
    l2 = np.float32(np.geomspace(1e-4, 10, 8))
    many = jax.jit(jax.vmap(jl.logistic_regression))(x, y, l2)
    assert len(set(np.array(many.report.steps))) > 2
    for i in (0, 3, 7):
        alone = jl.logistic_regression(x[i], y[i], l2[i])
        np.testing.assert_allclose(many.params.w[i], alone.params.w, rtol=1e-3, atol=1e-5)
        assert many.report.status[i] == alone.report.status


def test_a_bad_member_leaves_the_others_as_they_are():
    x, y, _ = problem("logistic")
    xs, ys = np.stack([np.float32(x)] * 4), np.stack([np.float32(y)] * 4)
    xs[1, 3, 2] = np.nan
    ys[2] = x[:, 0] > 0.1
    xs[3, :, 1] = xs[3, :, 0]
    many = jax.vmap(jl.logistic_regression)(xs, ys)
    assert status(many) == [
        Status.CONVERGED, Status.NONFINITE_INPUT, Status.DIVERGED, Status.CONVERGED,
    ]  # fmt: skip
    alone = jl.logistic_regression(xs[0], ys[0])
    np.testing.assert_allclose(many.params.w[0], alone.params.w, rtol=1e-5)


def test_many_labels_are_as_many_fits(monkeypatch):
    """Those that are done make room for others; one of them has no optimum."""
    monkeypatch.setattr(turns, "_BLOCK", 4)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    o = x @ rng.normal(size=(3, 24)) * np.geomspace(0.1, 10, 24)
    y = np.float32(bernoulli(rng, o))
    y[:, 5] = x[:, 1] > 0
    many = jl.logistic_regression(x, y, np.where(np.arange(24) == 5, 0, 1e-4))
    assert many.params.w.shape == (24, 3) and many.report.status.shape == (24,)
    assert status(many)[5] == Status.DIVERGED and len(set(np.array(many.report.steps))) > 2
    for i in (0, 5, 12, 23):
        alone = jl.logistic_regression(x, y[:, i], 0.0 if i == 5 else 1e-4)
        assert status(many)[i] == status(alone)[0]
        if i != 5:
            np.testing.assert_allclose(many.params.w[i], alone.params.w, rtol=1e-3)


def test_nothing_recompiles_for_other_numbers(compilations):
    x, y, weight = problem("logistic")
    for l2, tol in ((0.1, None), (0.2, 1e-5), (0.3, 1e-4)):
        fit = jl.logistic_regression(x, y, l2, weight=weight * l2, tol=tol)
    assert compilations("solve") == 1
    for fold in range(3):  # warm starts are one program more
        weight = (np.arange(40) % 3 != fold) * 1.0
        fit = jl.logistic_regression(x, y, 0.1, weight=weight, init=fit if fold else fit.params)
    assert compilations("solve") == 2


def test_a_fit_is_a_start():
    x, y, _ = problem("softmax")
    fit = jl.softmax_regression(x, y, 0.1)
    again = jl.softmax_regression(x, y, 0.1, init=fit)
    assert again.report.steps <= 2 < fit.report.steps
    np.testing.assert_allclose(again.params.w, fit.params.w, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize("name", ["softmax", "logistic-3"])
def test_a_path_is_every_fit(name, x64, compilations):
    x, y, weight = problem(name)
    l2s = np.array([0.1, 1e-3, 10.0, 0.0])
    loss = jl.losses.logistic if name == "logistic-3" else jl.losses.softmax_cross_entropy
    path = functools.partial(jl.glm_path, loss, x, y, weight=weight, outputs=3)
    fits = path(l2s)
    for number, l2 in enumerate(l2s):
        member = jax.tree.map(lambda leaf, number=number: leaf[number], fits)
        assert_optimal(name, member, (x, y, weight), l2, 1e-9)
    path(2 * l2s)
    assert compilations("path") == 1


def test_a_path_goes_on_after_a_fit_that_failed():
    """The weakest penalty last, and a NaN member under vmap is NaN alone."""
    x, y, _ = problem("logistic")
    xs = np.stack([np.float32(x), np.where(np.eye(40, 3) == 1, np.nan, np.float32(x))])
    path = jax.jit(jax.vmap(lambda x: jl.glm_path(jl.losses.logistic, x, y, [0.0, 1.0, 0.1])))(xs)
    assert status(path) == [Status.CONVERGED] * 3 + [Status.NONFINITE_INPUT] * 3
    alone = jl.logistic_regression(xs[0], y, 0.1)
    np.testing.assert_allclose(path.params.w[0, 2], alone.params.w, rtol=1e-4)


# ------------------------------------------------------------------ derivatives


@pytest.mark.parametrize("name", full_but(["softmax", "logistic", "poisson"], "softmax"))
def test_derivatives_of_both_orders_equal_differences(name, x64):
    """With respect to x, weight, l2 and, of one loss, the offset."""
    x, y, weight = problem(name, n=12, seed=2)
    assert name != "softmax" or set(y) == {0, 1, 2}  # or there is no optimum

    def params(x, weight, l2, *offset):
        named = {"offset": offset[0]} if offset else {}
        named |= {"classes": 3} if name == "softmax" else {}
        return CASES[name].fit(x, y, l2, weight=weight, **named).params

    offsets = [np.linspace(-1, 1, 12)] if name == "poisson" else []
    assert_derivatives(params, [x, weight, 0.1, *offsets])


def test_vmap_of_grad_is_every_grad():
    x, y, _ = problem("logistic")
    slope = jax.jit(jax.grad(lambda l2: jnp.sum(jl.logistic_regression(x, y, l2).params.w)))
    l2s = jnp.array([0.01, 0.1, 1.0])
    np.testing.assert_allclose(jax.vmap(slope)(l2s), [slope(l2) for l2 in l2s], rtol=1e-3)
