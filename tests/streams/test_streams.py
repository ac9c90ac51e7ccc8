"""Fits to streams against the fits in memory, and against NumPy; and streams that are refused."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convex_cases import bernoulli, labels, softmax_slopes

import jaxlinear as jl
from benchmarks import beyond_memory, peak_memory
from jaxlinear import Batch, Status, streams
from jaxlinear.streams import fits

N, D, SIZE = 100, 3, 32  # one shape for most tests: compiling takes nearly all of their time
RNG = np.random.default_rng(0)
X = (RNG.normal(size=(N, D)) * [1, 100, 0.01] + [0, 5, 1]).astype(np.float32)
UNITS = (X - X.mean(axis=0)) / X.std(axis=0)
OUTPUTS = UNITS @ RNG.normal(size=(D, 3))
W = RNG.integers(0, 3, N).astype(np.float32)
BINARY = bernoulli(RNG, OUTPUTS[:, 0]).astype(np.float32)
TARGETS = {
    "logistic": BINARY,
    "logistic-3": bernoulli(RNG, OUTPUTS).astype(np.float32),
    "softmax": labels(RNG, OUTPUTS),
    "poisson": RNG.poisson(np.exp(OUTPUTS[:, 1])).astype(np.float32),
}
SLOPES = {
    "logistic": lambda o, y: 1 / (1 + np.exp(-o)) - y,
    "logistic-3": lambda o, y: 1 / (1 + np.exp(-o)) - y,
    "softmax": softmax_slopes,
    "poisson": lambda o, y: np.exp(o) - y,
}
FITS = {"logistic": "logistic_regression", "logistic-3": "logistic_regression"}


def cut(*arrays, rows=7):
    """Batches of few rows each, which fit no block."""
    return [Batch(*(part[i : i + rows] for part in arrays)) for i in range(0, len(arrays[0]), rows)]


def stream(*arrays, **options):
    return jl.data.stream(cut(*arrays), size=SIZE, **options)


def fit_of(name, module):
    return getattr(module, FITS.get(name, f"{name}_regression"))


def status(fit):
    return {Status(code).name for code in np.atleast_1d(fit.report.status)}


def gradient(name, fit, y, weight, l2):
    """The gradient of the objective in columns of mean 0 and variance 1, in float64."""
    w, b = (np.asarray(leaf, float) for leaf in fit.params)
    x = np.asarray(X, float)
    slopes = SLOPES[name](x @ w.T + b, y).reshape(N, -1) * weight[:, None] / weight.sum()
    scale = X.std(axis=0)
    return (slopes.T @ UNITS + l2 * (w.reshape(-1, D)) / scale), slopes.sum(axis=0)


@pytest.mark.parametrize(
    ("name", "l2"),
    [
        ("logistic", 0.0),
        pytest.param("softmax", 0.1, marks=pytest.mark.full),
        pytest.param("poisson", 0.0, marks=pytest.mark.full),
        pytest.param("logistic-3", 0.1, marks=pytest.mark.full),
        pytest.param("softmax", 0.0, marks=pytest.mark.full),
    ],
)
def test_a_fit_is_the_one_in_memory(name, l2):
    y = TARGETS[name]
    got = fit_of(name, streams)(stream(X, y, W), l2)
    expected = fit_of(name, jl)(X, y, l2, weight=W)
    assert status(got) == status(expected) == {"CONVERGED"}
    assert got.params.w.shape == expected.params.w.shape
    for ours, other in zip(got.params, expected.params, strict=True):
        scale = np.max(np.abs(other))
        np.testing.assert_allclose(ours, other, rtol=2e-5, atol=2e-5 * scale)
    np.testing.assert_allclose(got.report.objective, expected.report.objective, 1e-6, 1e-6)
    assert np.all(got.report.gap <= 1e-5)
    for part in gradient(name, got, y, W, l2):
        assert np.max(np.abs(part)) < 2e-5


@pytest.mark.parametrize("form", ["gram", pytest.param("diagonal", marks=pytest.mark.full)])
def test_by_products_with_the_hessian_it_is_the_same(form, monkeypatch):
    monkeypatch.setattr(fits, "_COEFFICIENTS", 1)
    if form == "diagonal":
        monkeypatch.setattr(fits, "_ROOM", 1)
    y, ones = TARGETS["softmax"], np.ones(N)
    fit = streams.softmax_regression(stream(X, y), 0.1)
    assert status(fit) == {"CONVERGED"}
    for part in gradient("softmax", fit, y, ones, 0.1):
        assert np.max(np.abs(part)) < 2e-5


@pytest.mark.full
def test_a_fit_starts_where_it_is_told():
    data = stream(X, BINARY, W)
    first = streams.logistic_regression(data, max_steps=2)
    assert status(first) == {"MAX_STEPS"}
    second = streams.logistic_regression(data, init=first)
    assert status(second) == {"CONVERGED"} and second.report.steps < 5


def test_classes_that_can_be_separated_have_no_optimum():
    y = (UNITS[:, 0] > 0).astype(np.float32)
    assert status(streams.logistic_regression(stream(X, y))) == {"DIVERGED"}
    assert status(streams.logistic_regression(stream(X, y), 0.1)) == {"CONVERGED"}
    assert status(streams.logistic_regression(stream(X, 0 * y), 0.1)) == {"DIVERGED"}


@pytest.mark.full
def test_a_class_without_examples_has_its_optimum_at_infinity():
    y = np.where(TARGETS["softmax"] == 1, 0, TARGETS["softmax"])
    fit = streams.softmax_regression(stream(X, y, W), 0.1)
    assert status(fit) == {"STALLED_AT_PRECISION"} and np.isfinite(fit.params.w).all()


def test_a_column_that_is_constant_in_blocks_or_in_all():
    column = np.repeat([1.0, 2.0], N // 2)[:, None]
    x = np.hstack([X[:, :1], column, np.full((N, 1), 7)]).astype(np.float32)
    fit = streams.logistic_regression(jl.data.stream(cut(x, BINARY, rows=10), size=10))
    wide = np.column_stack([x[:, :2], np.ones(N)]).astype(float)
    theta = np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-wide @ theta))
        theta -= np.linalg.solve((wide.T * p * (1 - p)) @ wide, wide.T @ (p - BINARY))
    np.testing.assert_allclose(fit.params.w, [*theta[:2], 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fit.params.b, theta[2], rtol=1e-4)


def test_bytes_are_scaled():
    x = RNG.integers(0, 256, size=(N, D)).astype(np.uint8)
    fits = [streams.logistic_regression(stream(part, BINARY), 0.01) for part in (x, x / 255)]
    np.testing.assert_allclose(*(fit.params.w for fit in fits), rtol=1e-4, atol=1e-5)


def test_in_float64_large_numbers_keep_their_digits(x64):
    x, y = X[:, :1].astype(float), BINARY.astype(float)
    far, near = (streams.logistic_regression(stream(x + shift, y)) for shift in (1e8, 0))
    assert far.params.w.dtype == np.float64 and status(far) == {"CONVERGED"}
    np.testing.assert_allclose(far.params.w, near.params.w, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_the_gram_of_a_stream_is_that_of_all_rows(dtype):
    x = X if dtype == np.float32 else RNG.integers(0, 256, size=(N, D)).astype(dtype)
    y = np.column_stack([BINARY, OUTPUTS[:, 0]]).astype(np.float32)
    got = jl.gram.of_stream(stream(x, y, W))
    x, unit = np.asarray(x, float) / (1 if dtype == np.float32 else 255), W.sum()
    mean_x, mean_y = W @ x / unit, W @ y.astype(float) / unit
    dx, dy = x - mean_x, y - mean_y
    expected = (unit, (W > 0).sum(), mean_x, mean_y, (W * dx.T) @ dx, (W * dy.T) @ dx, W @ dy**2)
    for ours, other in zip(got, expected, strict=True):
        size = np.max(np.abs(other), axis=-1, keepdims=True) if np.ndim(other) else other
        np.testing.assert_allclose(ours, other, rtol=0, atol=2e-6 * np.max(size))


def test_a_path_from_a_gram_is_that_of_the_rows():
    x, y = UNITS.astype(np.float32), OUTPUTS[:, 0].astype(np.float32)
    gram = jl.gram.of(x + 1, y)
    path = jl.gram.ridge_path(gram, [0.0, 0.1])
    for l2, w, b in zip([0.0, 0.1], *path.params, strict=True):
        expected = np.linalg.solve(UNITS.T @ UNITS + N * l2 * np.eye(D), UNITS.T @ y)
        np.testing.assert_allclose(w, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(b, y.mean() - expected.sum(), rtol=1e-4, atol=1e-5)


def test_cross_validation_holds_out_blocks_in_turn():
    l2s, y = np.array([1e-3, 1e-1, 1e1]), OUTPUTS[:, :2].astype(np.float32)
    y = (y + RNG.normal(size=y.shape)).astype(np.float32)
    x = UNITS.astype(np.float32)
    found = streams.ridge_cv(jl.data.stream(cut(x, y, W), size=10), l2s, folds=3)
    present = W > 0
    x, y, w = (rows[present].astype(float) for rows in (x, y, W))
    fold = np.arange(len(x)) // 10 % 3
    scores = np.zeros((3, 2))
    for held in range(3):
        for i, l2 in enumerate(l2s):
            inside = fold != held
            mean_x, mean_y = (
                np.average(rows[inside], axis=0, weights=w[inside]) for rows in (x, y)
            )
            dx, dy, u = x[inside] - mean_x, y[inside] - mean_y, w[inside]
            b = np.linalg.solve((u * dx.T) @ dx + u.sum() * l2 * np.eye(D), (u * dx.T) @ dy)
            error = (x[~inside] - mean_x) @ b + mean_y - y[~inside]
            scores[i] += w[~inside] @ error**2
    np.testing.assert_allclose(found.scores, scores / w.sum(), rtol=1e-4)
    assert found.l2 == l2s[np.argmin(scores.sum(axis=1))].astype(np.float32)


def test_outputs_and_means_of_errors_are_those_of_all_rows():
    params = jl.Linear(jnp.array([1.0, 0.02, 3.0]), jnp.array(-2.0))
    o = X @ np.asarray(params.w) - 2
    for batches in (cut(X, BINARY), [X[:60], X[:0], X[60:]]):
        np.testing.assert_allclose(np.concatenate(list(streams.predict(params, batches))), o, 1e-5)
    metrics = {"accuracy": jl.metrics.accuracy, "mse": jl.metrics.mse}
    found = streams.evaluate(params, stream(X, BINARY, W), metrics)
    right = np.average((o > 0) == BINARY, weights=W)
    np.testing.assert_allclose(found["accuracy"], right, rtol=1e-6)
    np.testing.assert_allclose(found["mse"], np.average((o - BINARY) ** 2, weights=W), rtol=1e-5)
    with pytest.raises(ValueError, match="'rmse' is no mean over examples"):
        streams.evaluate(params, stream(X, BINARY), {"rmse": jl.metrics.rmse})
    with pytest.raises(ValueError, match="block 1 of the stream: x has 2 features"):
        list(streams.predict(params, [X, X[:, :2]]))


@pytest.mark.parametrize("source", [stream, lambda *arrays: Batch(*arrays)])
def test_steps_with_all_rows_are_those_of_gradient_descent(source):
    """Also where copies fill up the block."""
    x, y = UNITS.astype(np.float32), OUTPUTS[:, 0].astype(np.float32)
    fit = streams.sgd_fit(
        jl.losses.squared_error, source(x, y, W), key=jax.random.key(0), lr=0.1, l2=0.1,
        momentum=0.5, batch_size=N, epochs=5,
    )  # fmt: skip
    w, b, velocity, share = np.zeros(D), 0.0, np.zeros(D + 1), W / W.sum()
    for _ in range(5):
        away = share * (x @ w + b - y)
        velocity = 0.5 * velocity + [*(away @ x + 0.1 * w), away.sum()]
        w, b = w - 0.1 * velocity[:D], b - 0.1 * velocity[D]
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-4)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-4)
    value = share @ (x @ w + b - y) ** 2 / 2 + 0.05 * w @ w
    np.testing.assert_allclose(fit.report.objective, value, rtol=1e-5)
    assert fit.report.steps == 5 and fit.history.shape == (5,)


def test_every_epoch_has_another_order_and_every_run_the_same():
    order = np.argsort(BINARY, kind="stable")  # sorted by class
    data = jl.data.stream((UNITS[order].astype(np.float32), BINARY[order]), size=SIZE)

    def run(seed, **options):
        options = {"lr": 0.05, "l2": 0.1, "batch_size": 8, "epochs": 20, **options}
        return streams.sgd_fit(jl.losses.logistic, data, key=jax.random.key(seed), **options)

    one, same, other = run(0), run(0), run(1)
    assert jax.tree.all(jax.tree.map(np.array_equal, one.params, same.params))
    assert not np.array_equal(one.params.w, other.params.w)
    assert one.report.steps == 20 * 13 and np.unique(one.history).size == 20
    halves = run(0, epochs=10, init=run(0, epochs=10))
    assert jax.tree.all(jax.tree.map(np.array_equal, one.params, halves.params))
    exact = streams.logistic_regression(data, 0.1)
    assert exact.report.objective < one.report.objective < 1.05 * exact.report.objective


def with_nan():
    x = X.copy()
    x[40, 2] = np.nan
    return x


REFUSED = {
    "nothing": (lambda: [], "the stream is empty"),
    "no weight": (lambda: cut(X, BINARY, 0 * W), "the stream is empty"),
    "an iterator": (lambda: iter(cut(X, BINARY)), "can be read only once"),
    "another width": (lambda: cut(X, BINARY) + cut(X[:, :2], BINARY), "block 15 .* has 2 columns"),
    "another dtype": (lambda: cut(X, BINARY) + cut(X.astype(float), BINARY), "has dtype float64"),
    "other outputs": (
        lambda: cut(X, BINARY) + cut(X, np.c_[BINARY, BINARY]),
        r"y has rows of \(2,",
    ),
    "a NaN": (lambda: cut(with_nan(), BINARY), r"block 5 of the stream: x\[5, 2\] is nan"),
    "a target": (lambda: cut(X, BINARY * 2), r"block 0 of the stream: y\[\d\] is 2.0"),
    "a weight": (lambda: cut(X, BINARY, -W), r"weight\[\d\] is -"),
    "large weights": (lambda: cut(X, BINARY, 1 + 0 * W + 1e37), "the weights sum to 1e.39"),
    "no columns": (lambda: cut(X[:, :0], BINARY), r"x has shape \(7, 0\)"),
    "no batch": (lambda: [X], "got ndarray; expected Batch"),
    "no stream": (lambda: 3, "got int for a stream"),
    "lost digits": (lambda: cut(X.astype(float) + 1e8, BINARY), "its digits would be lost"),
    "lengths": (lambda: [Batch(X, BINARY[:-1])], r"y has shape \(99,\); expected \(100,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_stream_is_refused_by_name(name):
    source, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        streams.logistic_regression(jl.data.stream(source(), size=SIZE))


def test_other_rows_in_another_pass_are_refused():
    rows = [N, N - 1]

    def source():
        n = rows.pop(0)
        return cut(X[:n], BINARY[:n])

    with pytest.raises(ValueError, match="had 100 rows in the first pass and 99 in this one"):
        streams.logistic_regression(jl.data.stream(source, size=SIZE))


def test_what_has_no_weight_may_hold_anything():
    x, y, w = with_nan(), BINARY.copy(), np.ones(N, np.float32)
    y[40], w[40] = np.inf, 0
    others = np.arange(N) != 40
    found, expected = jl.gram.of_stream(stream(x, y, w)), jl.gram.of(X[others], BINARY[others])
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-5)


def test_a_source_may_use_its_arrays_again():
    def source():
        x, y = np.zeros((10, D), np.float32), np.zeros(10, np.float32)
        for i in range(0, N, 10):
            x[:], y[:] = X[i : i + 10], BINARY[i : i + 10]
            yield Batch(x, y)

    found = jl.gram.of_stream(jl.data.stream(source, size=SIZE))
    np.testing.assert_array_equal(found.xx, jl.gram.of_stream(stream(X, BINARY)).xx)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_of_the_source_ends_the_pass_and_its_thread(error):
    closed = []

    def source():
        try:
            yield from cut(X, BINARY)
            raise error("stop")
        finally:
            closed.append(True)

    with pytest.raises(error, match="stop"):
        jl.gram.of_stream(jl.data.stream(source, size=SIZE))
    readers = [thread for thread in threading.enumerate() if "Executor" in thread.name]
    assert closed == [True] and not readers


def test_no_more_than_two_blocks_are_read_ahead():
    read, seen = [0], []

    def source():
        for batch in cut(X, BINARY, rows=SIZE // 2):
            read[0] += len(batch.x)
            yield batch

    from jaxlinear.rows.stream import Passes

    for block in Passes(jl.data.stream(source, size=SIZE), "real"):
        seen.append(len(block.x))
        assert read[0] <= sum(seen) + 2 * SIZE
    assert seen == [SIZE] * 4


@pytest.mark.full
@pytest.mark.long
@pytest.mark.skipif(not peak_memory.STATUS.exists(), reason="only Linux tells the peak")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Fifteen times the rows are 112 MB more."""
    few, many = (beyond_memory.measure(rows, tmp_path) for rows in (100_000, 1_500_000))
    for way in ("gram", "logistic"):
        assert many[way]["peak_mb"] - few[way]["peak_mb"] < 40, (few, many)
