"""How convex fits end: what a status claims, in both dtypes, is so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl

Status = jl.Status
GROUPS = np.array([0, 0, 0, 1, 1, 1.0])[:, None]
LINE = np.array([[-2.0], [-1], [-0.5], [0.5], [1], [2]])
HALVES = np.array([0, 0, 0, 1, 1, 1.0])


def status(fit):
    return {Status(int(code)) for code in np.ravel(fit.report.status)}


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == np.float64):
        yield request.param


def test_counts_from_the_mean_on(dtype):
    """With a mean of 100 the first step from 0 overflows."""
    x, y = np.array([[-1], [0], [1]], dtype), np.array([50, 100, 200], dtype)
    fit = jl.poisson_regression(x, y, 1.0)
    assert status(fit) == {Status.CONVERGED}
    np.testing.assert_allclose(fit.params.w, [0.6821652829236258], rtol=1e-5)
    np.testing.assert_allclose(fit.params.b, 4.6098446437821785, rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: jl.poisson_regression(GROUPS.astype(d), np.array([3, 2, 4, 0, 0, 0], d)),
        lambda d: jl.poisson_regression(GROUPS.astype(d), np.zeros(6, d), 0.1),
        lambda d: jl.logistic_regression(LINE.astype(d), HALVES.astype(d)),
        lambda d: jl.logistic_regression(LINE.astype(d), np.ones(6, d), 0.1),
        lambda d: jl.logistic_regression(np.round(LINE).astype(d), np.array([0, 0, 0, 1, 1, 1], d)),
        lambda d: jl.softmax_regression(LINE.astype(d), np.zeros(6, int), 0.1, classes=3),
    ],
    ids=["group", "no counts", "separated", "one label", "quasi", "one class"],
)
def test_no_optimum_is_told(call, dtype):
    fit = call(dtype)
    assert status(fit) == {Status.DIVERGED}
    assert all(np.isfinite(leaf).all() for leaf in fit.params)


def test_what_has_an_optimum_beside_what_has_none_is_at_it(dtype):
    fit = jl.poisson_regression(GROUPS.astype(dtype), np.array([3, 2, 4, 0, 0, 0], dtype))
    assert fit.params.b == pytest.approx(np.log(3), abs=1e-4) and fit.params.w[0] < -5
    y = np.column_stack([np.zeros(6), [0, 1, 0, 1, 0, 1]]).astype(dtype)  # no positives, and some
    fits = jl.logistic_regression(LINE.astype(dtype), y, 0.1)
    assert fits.report.status.tolist() == [Status.DIVERGED, Status.CONVERGED]


def test_rare_events_have_an_optimum(dtype):
    x = np.array([0, 0, 1, 1], dtype)[:, None]
    y = np.array([0, 1, 0, 1], dtype)
    fit = jl.logistic_regression(x, y, weight=np.array([9_999_999, 1, 9_999_997, 3], dtype))
    assert status(fit) == {Status.CONVERGED}
    np.testing.assert_allclose(fit.params.w, [np.log(3)], rtol=1e-3)
    np.testing.assert_allclose(fit.params.b, np.log(1 / 9_999_999), rtol=1e-3)


def test_rates_over_fourteen_decades(dtype):
    x = np.linspace(-1, 1, 300)[:, None].astype(dtype)
    fit = jl.poisson_regression(x, np.exp(16 * x[:, 0]))
    assert status(fit) == {Status.CONVERGED}
    np.testing.assert_allclose(fit.params.w, [16], rtol=1e-5)
    np.testing.assert_allclose(fit.params.b, 0, atol=1e-4)


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_a_class_without_examples(l2, dtype):
    """Its probability is at its limit, and the other classes are as they are without it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2)).astype(dtype)
    y = np.argmax(x @ rng.normal(size=(2, 3)) + rng.normal(size=(90, 3)), axis=1)
    plain = jl.probabilities(jl.softmax_regression(x, y, l2).params, x)
    gap = jl.softmax_regression(x, np.where(y == 2, 3, y), l2)
    fold = jax.jit(lambda weight: jl.softmax_regression(x, y, l2, classes=4, weight=weight))(
        np.ones(90, dtype)
    )
    for fit, others in ((gap, [0, 1, 3]), (fold, [0, 1, 2])):
        p = np.asarray(jl.probabilities(fit.params, x))
        assert status(fit) == {Status.STALLED_AT_PRECISION}
        assert np.delete(p, others, axis=1).max() < 1e-4
        np.testing.assert_allclose(p[:, others], plain, atol=2e-4)


def test_labels_of_which_none_is_0_are_refused():
    x, y = np.zeros((4, 1), np.float32), np.array([1, 2, 1, 2])
    with pytest.raises(ValueError, match=r"labels 1 … 2 and none is 0.*y - 1"):
        jl.softmax_regression(x, y, 0.1)
    assert jl.softmax_regression(x, y, 0.1, classes=3).params.w.shape == (3, 1)


def test_a_report_is_that_of_the_parameters_as_they_are_rounded():
    """A column of numbers near 1e9 leaves b without its digits in float32: that is told."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=500) > 0).astype(np.float32)
    x = np.column_stack([x, np.float32(1e9) + 64 * np.arange(500, dtype=np.float32)])
    fit = jl.logistic_regression(x, y, 1e-3)
    w, b = (np.asarray(leaf, float) for leaf in fit.params)
    o = x.astype(float) @ w + b
    value = np.mean(np.logaddexp(0, o) - y * o) + 5e-4 * w @ w
    assert fit.report.objective == pytest.approx(value, rel=1e-5)
    slopes = (1 / (1 + np.exp(-o)) - y) / 500
    norm = np.sqrt(np.sum((slopes @ x.astype(float) + 1e-3 * w) ** 2) + slopes.sum() ** 2)
    assert fit.report.gradient_norm == pytest.approx(norm, rel=1e-3)
    certain = fit.report.gap <= 1e-5 * fit.report.objective
    assert status(fit) == {Status.CONVERGED if certain else Status.STALLED_AT_PRECISION}
    with jax.enable_x64(True):
        wide = jl.logistic_regression(x.astype(float), y.astype(float), 1e-3)
        assert status(wide) == {Status.CONVERGED}
        assert fit.report.objective - wide.report.objective <= fit.report.gap + 1e-6


def test_a_loss_whose_slope_is_not_its_own_is_told():
    @jax.custom_jvp
    def square(o):
        return 1 + jnp.sum(jnp.square(o))

    @square.defjvp
    def _of_another(primals, tangents):
        return square(*primals), jnp.sum(tangents[0])

    x, y = np.ones((4, 1), np.float32), np.zeros(4, np.float32)
    fit = jl.glm(lambda o, y: square(o) + 0 * y, x, y)
    assert status(fit) == {Status.NO_DESCENT}
    assert "no lower objective" in Status.NO_DESCENT.sentence


@pytest.mark.parametrize("l2", [1e-4, 1.0])
@pytest.mark.parametrize("kind", ["far", "apart"])
def test_where_a_loss_has_no_curvature_at_0_its_optimum_is_found_or_not_claimed(kind, l2, x64):
    """Huber's loss of targets far from 0, and of two halves between which there is no example."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(97, 3))
    y = x @ [1.0, 2.0, 3.0] + rng.normal(size=97)
    y = y + 1e6 if kind == "far" else y + np.where(np.arange(97) % 2, 1e6, -1e6)
    fit = jl.glm(jl.losses.huber, x, y, l2)
    w, b = map(np.asarray, fit.params)
    slope = np.clip(x @ w + b - y, -1, 1)
    gradient = np.append(x.T @ slope / 97 + l2 * w, slope.mean())
    at_optimum = np.abs(gradient).max() < 1e-6
    assert (fit.report.status == Status.CONVERGED) == at_optimum
    assert at_optimum if kind == "far" else fit.report.gap > 1
