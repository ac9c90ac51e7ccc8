"""sgd_fit: against NumPy by hand, against a loop in Python, and under every transformation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles
import pytest
from cases import LOSSES

import jaxlinear as jl
from jaxlinear.rows.order import permutation
from jaxlinear.types import Status

SOFTMAX = jl.losses.softmax_cross_entropy
SQUARED = jl.losses.squared_error
N, D, K = 43, 5, 3

rng = np.random.default_rng(0)
X = rng.normal(size=(N, D)).astype(np.float32)
LABELS = rng.integers(0, K, N).astype(np.int32)
Y = (X @ np.arange(D) + 1).astype(np.float32)
ONES = np.ones(N, np.float32)
KEY = jax.random.key(7)
HYPER = {"key": KEY, "lr": 0.1, "batch_size": 8, "epochs": 3}


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_close(a, b, tolerance=1e-5):
    jax.tree.map(
        lambda u, v: np.testing.assert_allclose(u, v, rtol=tolerance, atol=tolerance), a, b
    )


def orders(epochs, n=N):
    return [np.asarray(permutation(jax.random.fold_in(KEY, epoch), n)) for epoch in range(epochs)]


# What it computes


def test_against_numpy_by_hand():
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, momentum=0.8, l2=0.05)
    zero = np.zeros((K, D)), np.zeros(K)
    w, b, history = oracles.sgd_softmax(
        *zero, np.float64(X), LABELS, orders(3), 8, lr=0.1, momentum=0.8, l2=0.05
    )
    np.testing.assert_allclose(fit.params.w, w, atol=2e-6)
    np.testing.assert_allclose(fit.params.b, b, atol=2e-6)
    np.testing.assert_allclose(fit.history, history, rtol=1e-5)


def test_report():
    """The full objective and gradient at the parameters, not a running mean."""
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, l2=0.05)
    w, b = (np.float64(leaf) for leaf in fit.params)
    expected = oracles.mean_loss(
        oracles.softmax_cross_entropy, w, b, np.float64(X), LABELS, l2=0.05
    )
    g_w, g_b = oracles.softmax_gradient(w, b, np.float64(X), LABELS)
    norm = np.sqrt(((g_w + 0.05 * w) ** 2).sum() + (g_b**2).sum())
    np.testing.assert_allclose(fit.report.objective, expected, rtol=1e-5)
    np.testing.assert_allclose(fit.report.gradient_norm, norm, rtol=1e-4)
    assert fit.report.steps == 3 * 6 and fit.report.status == Status.MAX_STEPS


@pytest.mark.full
def test_report_over_more_examples_than_one_part():
    x = rng.normal(size=(2500, D)).astype(np.float32)
    weight = rng.integers(0, 3, 2500).astype(np.float32)
    y = x.sum(1)
    fit = jl.sgd_fit(SQUARED, x, y, **HYPER, weight=weight)
    value, gradient = jax.value_and_grad(jl.mean_loss(SQUARED))(fit.params, jl.Batch(x, y, weight))
    np.testing.assert_allclose(fit.report.objective, value, rtol=1e-5)
    np.testing.assert_allclose(fit.report.gradient_norm, optax.tree.norm(gradient), rtol=1e-4)


def test_the_loop_of_the_chapter_is_the_same_run():
    """From scratch in Python and compiled whole: the same minibatches, the same parameters."""
    batch = jl.Batch(jnp.asarray(X), jnp.asarray(LABELS))
    optimizer = jl.sgd(0.1, 0.5)
    step = jax.jit(jl.train.step(jl.mean_loss(SOFTMAX), optimizer))
    params = jl.zeros(D, K)
    state = optimizer.init(params)
    for epoch in range(3):
        for minibatch in jl.data.batches(jax.random.fold_in(KEY, epoch), batch, 8):
            params, state, _ = step(params, state, minibatch, 0.05)
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, momentum=0.5, l2=0.05)
    assert_close(fit.params, params, 1e-6)


KINDS = ("squared_error-3", "softmax-distributions", "logistic-1", "poisson-3", "hinge-1")


@pytest.mark.parametrize(
    "case", [case for case in LOSSES if case.name in KINDS], ids=lambda case: case.name
)
def test_every_kind_of_loss_goes_down(case):
    y = case.targets(np.random.default_rng(1), N, case.outputs)
    y = y if y.dtype == np.int32 else y.astype(np.float32)
    fit = jl.sgd_fit(case.loss, X, y, key=KEY, lr=0.02, batch_size=8, epochs=20)
    shape = () if case.outputs is None else (case.outputs,)
    assert fit.params.w.shape == (*shape, D) and fit.params.b.shape == shape
    start = jl.mean_loss(case.loss)(jl.zeros(D, case.outputs), jl.Batch(X, y))
    assert fit.report.objective < start
    assert fit.report.status == Status.MAX_STEPS


def test_full_batches_need_no_order():
    one = jl.sgd_fit(SQUARED, X, Y, key=KEY, lr=0.1, batch_size=N)
    other = jl.sgd_fit(SQUARED, X, Y, key=jax.random.key(1), lr=0.1, batch_size=10 * N)
    assert_close(one.params, other.params)


def test_the_last_ragged_batch_is_kept_or_dropped():
    kept = jl.sgd_fit(SQUARED, X, Y, **HYPER)
    dropped = jl.sgd_fit(SQUARED, X, Y, **HYPER, drop_last=True)
    assert (kept.report.steps, dropped.report.steps) == (3 * 6, 3 * 5)
    expected = jl.sgd_fit(SQUARED, X[orders(1)[0][:40]], Y[orders(1)[0][:40]], **HYPER)
    assert expected.report.steps == 15


def test_every_epoch_has_a_fresh_order_of_the_examples():
    """The first epoch by hand, in the order that ``permutation`` gives it; the next differs."""
    first_order, second_order = orders(2)
    assert (first_order != second_order).any()
    first = jl.sgd_fit(SQUARED, X, Y, **{**HYPER, "epochs": 1})
    w, b = np.zeros(D), 0.0
    for start in range(0, N, 8):
        rows = first_order[start : start + 8]
        error = (X[rows] @ w + b - Y[rows]) / len(rows)
        w, b = w - 0.1 * error @ X[rows], b - 0.1 * error.sum()
    np.testing.assert_allclose(first.params.w, w, atol=1e-5)


# Weights

WEIGHT = np.where(np.arange(N) % 5, 1.0, 4.0).astype(np.float32)
WEIGHT[[3, 4, 40]] = 0


def weighted(weight=WEIGHT, **options):
    y = np.where(WEIGHT > 2, Y + 3, Y)  # so that the weights make a difference
    x = np.where(WEIGHT[:, None] == 0, np.nan, X)
    options = {"lr": 1.0, "l2": 0.1, "epochs": 300, "key": KEY} | options
    return x, y, jl.sgd_fit(SQUARED, x, y, weight=weight, **options)


@pytest.mark.parametrize("size", [1, 4, 8, N])  # of which 4 and 8 leave a ragged one
def test_sgd_ends_at_the_weighted_optimum(size):
    """Whatever the size of a minibatch, and in whatever unit the weights come."""
    rates = optax.cosine_decay_schedule(min(0.02 * size, 0.3), 300 * -(-N // size))
    fits = [
        weighted(WEIGHT * np.float32(unit), batch_size=size, optimizer=optax.sgd(rates))
        for unit in (1, 1e30, 1e-30)
    ]
    x, y, fit = fits[0]
    present = WEIGHT > 0
    w, b = oracles.ridge(x[present], y[present], 0.1, WEIGHT[present])
    tolerance = 0.02 if size < N else 1e-4
    np.testing.assert_allclose(fit.params.w, w, atol=tolerance)
    np.testing.assert_allclose(fit.params.b, b, atol=tolerance)
    for _, _, other in fits[1:]:
        assert_close(other.params, fit.params, 1e-4)
        assert_close(other.report, fit.report, 1e-4)


def test_a_step_is_an_estimate_without_bias():
    """Steps so short that the parameters stay where they are sum up to the gradient of all."""
    x, y, fit = weighted(batch_size=1, lr=1e-4, l2=0.0, epochs=1)
    gradient = jax.grad(jl.mean_loss(SQUARED))(jl.zeros(D), jl.Batch(x, y, WEIGHT))
    total = jax.tree.map(lambda g: -1e-4 * N * g, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0.02), fit.params, total)
    expected = np.average(np.square(y) / 2, weights=WEIGHT)
    assert float(fit.history[0]) == pytest.approx(expected, rel=0.02)


def test_the_loop_of_the_chapter_is_the_same_run_with_weights():
    batch = jl.Batch(jnp.asarray(X), jnp.asarray(LABELS), WEIGHT / WEIGHT.mean())
    optimizer = jl.sgd(0.1, 0.5)
    step = jax.jit(jl.train.step(jl.mean_loss(SOFTMAX, minibatch=True), optimizer))
    params = jl.zeros(D, K)
    state, values = optimizer.init(params), []
    for epoch in range(3):
        for minibatch in jl.data.batches(jax.random.fold_in(KEY, epoch), batch, 8):
            params, state, value = step(params, state, minibatch, 0.05)
            values.append(float(value) * len(minibatch.x))
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, momentum=0.5, l2=0.05, weight=WEIGHT)
    assert_close(fit.params, params, 1e-6)
    np.testing.assert_allclose(fit.history, np.reshape(values, (3, -1)).sum(axis=1) / N, rtol=1e-5)


def test_minibatches_without_weight_change_nothing():
    """A loss without a value at 0 stands for what must not be asked of an absent example."""

    def inverse(o, y):
        return y * o - jnp.log(o)

    x, y = np.ones((6, 1), np.float32), np.float32([2, 2, 2, np.nan, np.nan, np.nan])
    init = jl.Linear(np.zeros(1, np.float32), np.float32(0.4))
    fit = jl.sgd_fit(
        inverse, x, y, weight=np.isfinite(y), key=KEY, lr=0.02, batch_size=1, init=init, epochs=40
    )
    o = float(jnp.sum(fit.params.w) + fit.params.b)
    assert o == pytest.approx(0.5, abs=1e-3) and np.isfinite(fit.report.objective)


# Resuming and stopping


@pytest.mark.parametrize("optimizer", [None, optax.adam])
def test_a_run_in_two_parts_is_the_run_in_one(optimizer):
    momentum = 0.9 if optimizer is None else 0.0
    fit = functools.partial(
        jl.sgd_fit, SOFTMAX, X, LABELS, key=KEY, lr=0.05, momentum=momentum, optimizer=optimizer,
        batch_size=8,
    )  # fmt: skip
    whole = fit(epochs=5)
    half = fit(epochs=2)
    both = fit(epochs=3, init=half)
    assert_same_bits(both.params, whole.params)
    assert_same_bits(both.report, whole.report)
    np.testing.assert_array_equal(np.concatenate([half.history, both.history]), whole.history)


def test_starting_from_parameters_is_a_new_run():
    first = jl.sgd_fit(SQUARED, X, Y, **HYPER)
    warm = jl.sgd_fit(SQUARED, X, Y, **HYPER, init=first.params)
    assert warm.report.steps == first.report.steps
    assert warm.report.objective < first.report.objective


def noisy_split():
    """More features than examples: the validation loss soon goes up again."""
    wide = np.random.default_rng(5).normal(size=(60, 40)).astype(np.float32)
    y = 2 * wide[:, 0] + np.random.default_rng(6).normal(size=60).astype(np.float32)
    return wide[:20], y[:20], jl.Batch(wide[20:], y[20:])


def test_validation_metrics_of_every_epoch():
    x, y, validation = noisy_split()
    metrics = {"mse": jl.metrics.mse, "r2": jl.metrics.r2}
    fit = jl.sgd_fit(SQUARED, x, y, **HYPER, validation=validation, metrics=metrics)
    assert {name: v.shape for name, v in fit.validation.items()} == dict.fromkeys(
        ("loss", "mse", "r2"), (3,)
    )
    o = jl.predict(fit.params, validation.x)
    np.testing.assert_allclose(
        fit.validation["mse"][-1], jl.metrics.mse(o, validation.y), rtol=1e-5
    )
    np.testing.assert_allclose(fit.validation["loss"], fit.validation["mse"] / 2, rtol=1e-5)


@pytest.mark.parametrize("independent", [False, True])
def test_validation_of_a_column_is_that_of_its_numbers(independent):
    """y (n, 1) is one label: its accuracy and loss are those of y (n,)."""
    x, y, validation = noisy_split()
    accuracy = functools.partial(jl.metrics.accuracy, independent=independent)
    metrics = {"accuracy": accuracy, "log_loss": jl.metrics.log_loss}
    flat, column = (
        jl.sgd_fit(
            jl.losses.logistic, x, shape(y > 0), **HYPER, metrics=metrics,
            validation=jl.Batch(validation.x, shape(validation.y > 0)),
        ).validation
        for shape in (lambda y: y, lambda y: y[:, None])
    )  # fmt: skip
    assert 0.5 < flat["accuracy"][-1] < 1
    for name in flat:
        np.testing.assert_allclose(flat[name], column[name], rtol=1e-5)


def test_several_labels_have_metrics_of_their_own_and_no_others():
    x, y, validation = noisy_split()
    several = jl.Batch(validation.x, np.stack([validation.y > 0, validation.y < 1], axis=1) * 1.0)
    metrics = {
        "accuracy": functools.partial(jl.metrics.accuracy, independent=True),
        "of one class": jl.metrics.accuracy,
    }
    y = np.stack([y > 0, y < 1], axis=1) * 1.0
    fit = jl.sgd_fit(jl.losses.logistic, x, y, **HYPER, validation=several, metrics=metrics)
    right = (np.asarray(jl.predict(fit.params, several.x)) > 0) == several.y
    np.testing.assert_allclose(fit.validation["accuracy"][-1], right.mean(), rtol=1e-6)
    assert np.isnan(fit.validation["of one class"]).all()


def test_early_stopping_returns_the_best_model():
    x, y, validation = noisy_split()
    long = jl.sgd_fit(
        SQUARED, x, y, key=KEY, lr=0.02, batch_size=8, epochs=200, validation=validation
    )
    best = int(jnp.argmin(long.validation["loss"]))
    assert 0 < best < 150, "the problem must overfit"
    fit = functools.partial(
        jl.sgd_fit, SQUARED, x, y, key=KEY, lr=0.02, batch_size=8, validation=validation
    )
    stopped = fit(epochs=200, patience=20)
    ran = int(np.isfinite(stopped.history).sum())
    losses = np.asarray(stopped.validation["loss"])[:ran]
    assert stopped.report.status == Status.CONVERGED
    assert ran == losses.argmin() + 21 < 200
    np.testing.assert_array_equal(losses, long.validation["loss"][:ran])
    assert stopped.report.steps == 3 * (losses.argmin() + 1)
    alone = fit(epochs=int(losses.argmin()) + 1)
    assert_same_bits(stopped.params, alone.params)
    never = fit(epochs=10, patience=50)
    assert never.report.status == Status.MAX_STEPS and np.isfinite(never.history).all()


def test_a_run_that_diverges_at_once_has_not_converged():
    """Patience runs out, and the best model is the one it began with: finite, and no answer."""
    x, y, validation = noisy_split()
    fit = jl.sgd_fit(
        SQUARED, x, y, key=KEY, lr=1e30, batch_size=8, epochs=20, validation=validation, patience=2
    )
    assert fit.report.status == Status.DIVERGED


def test_callback_reports_every_epoch_in_order():
    x, y, validation = noisy_split()
    calls = []
    fit = jl.sgd_fit(
        SQUARED, x, y, **HYPER, validation=validation, callback=lambda *call: calls.append(call)
    )
    assert [epoch for epoch, *_ in calls] == [0, 1, 2]
    np.testing.assert_allclose([objective for _, objective, _ in calls], fit.history, rtol=1e-6)
    np.testing.assert_allclose(
        [metrics["loss"] for *_, metrics in calls], fit.validation["loss"], rtol=1e-6
    )


def test_callback_under_jit():
    calls = []
    run = jax.jit(
        lambda lr: jl.sgd_fit(
            SQUARED, X, Y, **{**HYPER, "lr": lr}, callback=lambda *call: calls.append(call)
        )
    )
    for _ in range(2):
        jax.block_until_ready(run(0.1))
        jax.effects_barrier()
    assert [epoch for epoch, *_ in calls] == [0, 1, 2] * 2


def test_callback_under_vmap_hears_every_model():
    calls = []
    run = jax.vmap(
        lambda lr: jl.sgd_fit(
            SQUARED, X, Y, **{**HYPER, "lr": lr}, callback=lambda *call: calls.append(call)
        )
    )
    fits = jax.block_until_ready(run(jnp.array([0.1, 0.2])))
    jax.effects_barrier()
    heard = np.array(sorted((epoch, objective) for epoch, objective, _ in calls))
    expected = [(e, h) for model in np.asarray(fits.history) for e, h in enumerate(model)]
    np.testing.assert_allclose(heard, sorted(expected), rtol=1e-6)


def test_an_error_in_the_callback_stops_the_run():
    def fail(epoch, objective, validation):
        raise RuntimeError("enough")

    with pytest.raises(jax.errors.JaxRuntimeError, match="enough"):
        jl.sgd_fit(SQUARED, X, Y, **HYPER, callback=fail)


def test_callback_is_silent_after_an_early_stop():
    x, y, validation = noisy_split()
    calls = []
    fit = jl.sgd_fit(
        SQUARED, x, y, key=KEY, lr=0.02, batch_size=8, epochs=200, validation=validation,
        patience=5, callback=lambda *call: calls.append(call),
    )  # fmt: skip
    assert len(calls) == np.isfinite(fit.history).sum() < 200


# Optimizers


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_optax_sgd_gives_the_same_bits(momentum):
    ours = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, momentum=momentum)
    theirs = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, optimizer=optax.sgd(0.1, momentum))
    assert_same_bits(ours.params, theirs.params)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam,
        optax.adam(0.05),
        optax.sgd(optax.cosine_decay_schedule(0.1, 18)),
        optax.chain(optax.clip_by_global_norm(1.0), optax.rmsprop(0.01)),
        optax.adamw(0.05, weight_decay=0.1, mask=jl.Linear(w=True, b=False)),
    ],
    ids=["adam-of-lr", "adam", "schedule", "chain", "adamw"],
)
def test_any_optax_optimizer(optimizer):
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, optimizer=optimizer)
    start = jl.mean_loss(SOFTMAX)(jl.zeros(D, K), jl.Batch(X, LABELS))
    assert fit.report.objective < start


def test_decay_may_exempt_the_bias():
    decay = functools.partial(optax.add_decayed_weights, 0.05)
    masked = optax.chain(decay(mask=jl.Linear(w=True, b=False)), optax.sgd(0.1))
    ours = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, l2=0.05)
    theirs = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, optimizer=masked)
    assert_close(ours.params, theirs.params, 1e-6)


def test_the_fit_of_another_optimizer_is_refused():
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER)
    with pytest.raises(ValueError, match=r"another optimizer.*init=fit\.params"):
        jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, init=fit, optimizer=optax.adam)
    with pytest.raises(ValueError, match=r"momentum is 0\.9 beside an optimizer"):
        jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER, momentum=0.9, optimizer=optax.adam)


# Transformations


def test_vmap_equals_a_loop():
    """Over numbers, weights, keys and starts; every model as if it were alone."""
    lrs, l2s = jnp.array([0.01, 0.1, 0.2]), jnp.array([0.0, 0.1, 1.0])
    momenta = jnp.array([0.0, 0.5, 0.9])
    weights = jnp.asarray(rng.integers(0, 3, (3, N)), jnp.float32)
    keys = jax.random.split(KEY, 3)
    inits = jl.Linear(jnp.asarray(rng.normal(size=(3, D)), jnp.float32), jnp.arange(3.0))

    def run(lr, l2, momentum, weight, key, init):
        return jl.sgd_fit(
            SQUARED, X, Y, key=key, lr=lr, l2=l2, momentum=momentum, weight=weight, init=init,
            batch_size=8, epochs=2,
        )  # fmt: skip

    arguments = (lrs, l2s, momenta, weights, keys, inits)
    together = jax.vmap(run)(*arguments)
    for i in range(3):
        alone = run(*jax.tree.map(lambda a, i=i: a[i], arguments))
        assert_close(jax.tree.map(lambda a, i=i: a[i], together), alone)


def test_vmap_over_data_sets_with_one_bad_one():
    """NaN in one problem: it is flagged, and the others are what they are without it."""
    xs = rng.normal(size=(4, N, D)).astype(np.float32)
    ys = xs.sum(2)
    fit = jax.vmap(lambda x, y: jl.sgd_fit(SQUARED, x, y, **HYPER))
    fine = fit(xs, ys)
    bad = xs.copy()
    bad[2, 5, 1] = np.nan
    spoilt = fit(bad, ys)
    assert spoilt.report.status.tolist() == [1, 1, Status.NONFINITE_INPUT, 1]
    others = np.array([0, 1, 3])
    assert_same_bits(*(jax.tree.map(lambda a: a[others], f.params) for f in (fine, spoilt)))


@pytest.mark.parametrize(
    ("x", "y", "weight"),
    [
        (np.where(np.arange(N)[:, None] == 3, np.inf, X), LABELS, ONES),
        (X, np.where(np.arange(N) == 3, K, LABELS), ONES),
        (X, np.where(np.arange(N) == 3, -1, LABELS), ONES),
        (X, LABELS, np.full(N, -1.0, np.float32)),
        (X, LABELS, np.zeros(N, np.float32)),
        (X, LABELS, np.full(N, np.nan, np.float32)),
    ],
    ids=["inf", "label-k", "label--1", "negative", "all-zero", "nan-weight"],
)
def test_bad_values_under_jit_are_a_status(x, y, weight):
    assert _status_under_jit(x, y, weight) == Status.NONFINITE_INPUT


@jax.jit
def _status_under_jit(x, y, weight):
    return jl.sgd_fit(SOFTMAX, x, y, **HYPER, weight=weight, outputs=K).report.status


def test_divergence_is_a_status():
    fit = jl.sgd_fit(SQUARED, X, Y, key=KEY, lr=1e6, batch_size=8, epochs=20)
    assert fit.report.status == Status.DIVERGED


def test_gradient_through_a_run_equals_differences(x64):
    """Hyper-gradients: the final loss of a whole run, by its l2, its rate and its weights."""
    x, y = np.float64(X), np.float64(Y)

    def final(l2, lr, weight):
        fit = jl.sgd_fit(
            SQUARED, x, y, key=KEY, lr=lr, l2=l2, weight=weight, batch_size=8, epochs=2
        )
        return jl.mean_loss(SQUARED)(fit.params, jl.Batch(x, y))

    point = (jnp.float64(0.1), jnp.float64(0.05), jnp.ones(N))
    slopes = jax.jit(jax.grad(final, (0, 1, 2)))(*point)
    step = 1e-5
    for i in range(2):
        up, down = (
            final(*[p + sign * step * (j == i) for j, p in enumerate(point)]) for sign in (1, -1)
        )
        np.testing.assert_allclose(slopes[i], (up - down) / (2 * step), rtol=1e-5)
    up, down = (final(*point[:2], point[2].at[4].add(sign * step)) for sign in (1, -1))
    np.testing.assert_allclose(slopes[2][4], (up - down) / (2 * step), rtol=1e-4, atol=1e-9)


def test_numbers_compile_nothing_new(compilations):
    fit = functools.partial(jl.sgd_fit, SOFTMAX, X, LABELS, batch_size=8, epochs=2)
    weight = np.ones(N, np.float32)
    first = fit(key=KEY, lr=0.1, weight=weight, init=jl.zeros(D, K))
    before = compilations("whole")
    assert before >= 1
    fit(key=jax.random.key(1), lr=0.2, weight=2 * weight, init=first.params)
    fit(key=KEY, lr=np.float32(0.3), l2=0.1, momentum=0.9, weight=weight, init=jl.zeros(D, K))
    fit(
        key=KEY,
        lr=jnp.array(0.3),
        l2=1,
        momentum=np.float64(0.9),
        weight=weight.tolist(),
        init=first.params,
    )
    assert compilations("whole") == before


def test_callbacks_and_resuming_compile_once(compilations):
    fit = functools.partial(jl.sgd_fit, SOFTMAX, X, LABELS, key=KEY, lr=0.1, batch_size=8, epochs=2)
    calls = []
    first = fit(callback=lambda *call: calls.append(call))
    before = compilations("whole")
    fit(callback=lambda *call: calls.append(call))
    assert compilations("whole") == before and len(calls) == 4
    second = fit(init=first)
    before = compilations("whole")
    fit(init=second)
    assert compilations("whole") == before


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_dtype_in_is_dtype_out(dtype):
    fit = jl.sgd_fit(SOFTMAX, jnp.asarray(X, dtype), LABELS, **HYPER)
    assert {leaf.dtype for leaf in fit.params} == {jnp.dtype(dtype)}
    single = jl.sgd_fit(SOFTMAX, X, LABELS, **HYPER)
    assert_close(jax.tree.map(jnp.float32, fit.params), single.params, 0.05)


def test_double_precision(x64):
    fit = jl.sgd_fit(SQUARED, np.float64(X), np.float64(Y), **HYPER)
    assert {leaf.dtype for leaf in jax.tree.leaves((fit.params, fit.history))} == {
        jnp.dtype("float64")
    }
    mixed = jl.sgd_fit(SQUARED, X, np.float64(Y), **HYPER)
    assert mixed.params.w.dtype == jnp.float32


def test_integers_lists_and_bytes_go_in_as_they_are():
    image = rng.integers(0, 256, (N, D)).astype(np.uint8)
    from_bytes = jl.sgd_fit(SOFTMAX, image, LABELS, **HYPER)
    scaled = jl.sgd_fit(SOFTMAX, image.astype(np.float32) / 255, LABELS, **HYPER)
    assert_close(from_bytes.params, scaled.params)
    whole = rng.integers(-3, 4, (N, D))
    from_integers = jl.sgd_fit(SOFTMAX, whole, LABELS.astype(np.int64), **HYPER)
    from_lists = jl.sgd_fit(SOFTMAX, whole.tolist(), LABELS.tolist(), **HYPER)
    floats = jl.sgd_fit(SOFTMAX, whole.astype(np.float32), LABELS.astype(np.uint8), **HYPER)
    assert_same_bits(from_integers, from_lists)
    assert_same_bits(from_integers, floats)


def test_inputs_are_not_changed():
    x, y, weight = X.copy(), LABELS.copy(), np.ones(N, np.float32)
    init = jl.zeros(D, K)
    jl.sgd_fit(SOFTMAX, x, y, **HYPER, weight=weight, init=init)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, LABELS)
    assert not init.w.any()


def test_a_loss_of_ones_own():
    def heteroscedastic(o, y):
        """The Gaussian likelihood with a predicted log-scale: two outputs, one target."""
        return o[1] + 0.5 * ((y - o[0]) * jnp.exp(-o[1])) ** 2

    fit = jl.sgd_fit(heteroscedastic, X, Y, key=KEY, lr=0.01, epochs=5, outputs=2)
    assert fit.params.w.shape == (2, D) and np.isfinite(fit.report.objective)
