"""A guard against compilers: every public function on thin x of many rows, against NumPy.

A release of jaxlib summed some products of more than 32,768 rows wrongly, in programs of thin
arrays under ``jit`` and ``vmap``, without a word. So every function meets every size, every width
and number of outputs, and is alone, under ``vmap`` and under ``lax.map``, in turns.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import LOSSES, full_but

import jaxlinear as jl
from jaxlinear import losses
from jaxlinear.rows.order import epoch_order

SIZES = [32_767, 32_768, 32_769, 60_001, 131_073]
THIN = [1, 3, 10, 16]
MODELS = 2


def alone(run):
    return lambda *stacks: jax.tree.map(
        lambda leaf: leaf[None], run(*jax.tree.map(lambda leaf: leaf[0], stacks))
    )


def mapped(run):
    return lambda *stacks: jax.lax.map(lambda one: run(*one), stacks)


WAYS = [alone, jax.vmap, mapped]


def run_in(way, run, *stacks):
    """``run`` of stacked arguments, as one program; a list of results in NumPy's float64."""
    result = jax.jit(way(run))(*stacks)
    models = len(jax.tree.leaves(result)[0])
    double = functools.partial(np.asarray, dtype=np.float64)
    return [jax.tree.map(lambda leaf, i=i: double(leaf[i]), result) for i in range(models)]


def widths(n, turn):
    """d and k of the problem of n rows: over the sizes every d and k, and in turns all pairs."""
    place = SIZES.index(n)
    return THIN[place % 4], THIN[(place + turn) % 4]


def single(array):
    return array if array.dtype == np.int32 else array.astype(np.float32)


def problem(n, d, k, seed=0):
    """Stacks of x, and of true outputs (models, n, k)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(MODELS, n, d)).astype(np.float32)
    w = rng.normal(size=(MODELS, k, d)) / np.sqrt(d)
    return rng, x, np.einsum("mnd,mkd->mnk", x, w)


def check(got, expected, tolerance=2e-5):
    expected = np.asarray(expected, np.float64)
    size = max(1e-30, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * size)


every_size = pytest.mark.parametrize("n", full_but(SIZES, 32_769))


# ------------------------------------------------------------------ what has an entry for every row


@every_size
def test_products_and_sums(n):
    """What losses are made of, without the library: this is what once was wrong."""
    for d, k in itertools.product(THIN, THIN):
        rng, x, _ = problem(n, d, k)
        w = rng.normal(size=(k, d)).astype(np.float32)
        each = jax.jit(jax.vmap(lambda row, w=w: jnp.sum(jnp.square(w @ row))))(x[0])
        check(each, np.square(x[0].astype(float) @ w.T).sum(axis=1))


@every_size
@pytest.mark.parametrize("way", WAYS)
def test_rows(n, way):
    """Outputs, probabilities, labels, information and metrics."""
    d, k = widths(n, WAYS.index(way))
    k = max(k, 2)  # a softmax of one output is refused
    rng, x, _ = problem(n, d, k)
    params = jl.Linear(
        rng.normal(size=(MODELS, k, d)).astype(np.float32),
        rng.normal(size=(MODELS, k)).astype(np.float32),
    )
    y = rng.integers(0, k, size=(MODELS, n)).astype(np.int32)

    def run(params, x, y):
        p, q = jl.probabilities(params, x), jl.probabilities(params, -x)
        o = jl.predict(params, x)
        return {
            "outputs": o,
            "softmax": p,
            "sigmoid": jl.probabilities(params, x, independent=True),
            "labels": jl.labels(params, x),
            "entropy": jl.information.entropy(p),
            "cross_entropy": jl.information.cross_entropy(p, q),
            "kl_divergence": jl.information.kl_divergence(p, q),
            "perplexity": jl.information.perplexity(p),
            "accuracy": jl.metrics.accuracy(o, y),
            "mean": jl.metrics.mean(losses.softmax_cross_entropy)(o, y),
        }

    for i, got in enumerate(run_in(way, run, params, x, y)):
        w, b = params.w[i], params.b[i]
        o = oracles.affine(w, b, x[i])
        log_p, log_q = oracles.log_softmax(o), oracles.log_softmax(oracles.affine(w, b, -x[i]))
        p = np.exp(log_p)
        check(got["outputs"], o)
        check(got["softmax"], p)
        check(got["sigmoid"], 1 / (1 + np.exp(-o)))
        best = np.take_along_axis(o, got["labels"][:, None].astype(int), axis=1)[:, 0]
        check(best, o.max(axis=1))
        check(got["entropy"], -(p * log_p).sum(axis=1))
        check(got["cross_entropy"], -(p * log_q).sum(axis=1))
        check(got["kl_divergence"], (p * (log_p - log_q)).sum(axis=1), 1e-4)
        check(got["perplexity"], np.exp(-(p * log_p).sum(axis=1)))
        assert abs(got["accuracy"] - (o.argmax(axis=1) == y[i]).mean()) < 3 / n
        check(got["mean"], -log_p[np.arange(n), y[i]].mean())


def some_rows(n):
    """The ends, the places where blocks end, and others: all losses by hand take minutes."""
    near = [place + step for place in (0, 16_384, 32_768, n) for step in range(-20, 20)]
    drawn = np.random.default_rng(0).integers(0, n, 60)
    return np.unique([*(row for row in near if 0 <= row < n), *drawn])


@every_size
def test_losses(n):
    """The loss of every example, and the gradient of the mean loss in the parameters."""
    rows = some_rows(n)
    for number, case in enumerate(LOSSES):
        k = case.outputs and THIN[1 + (SIZES.index(n) + number) % 3]
        d = THIN[(SIZES.index(n) + number) % 4]
        rng, x, _ = problem(n, d, 1)
        shape = () if k is None else (k,)
        params = jl.Linear(
            rng.normal(size=(MODELS, *shape, d)).astype(np.float32) / 4,
            rng.normal(size=(MODELS, *shape)).astype(np.float32) / 4,
        )
        y = np.stack([single(case.targets(rng, n, k)) for _ in range(MODELS)])

        def run(params, x, y, case=case):
            each = jax.vmap(lambda x, y: case.loss(jl.affine(params, x), y))(x, y)
            return each, jl.mean_loss(case.loss)(params, jl.Batch(x, y))

        way = WAYS[(SIZES.index(n) + number) % 3]
        for i, (each, mean) in enumerate(run_in(way, run, params, x, y)):
            o = oracles.affine(params.w[i], params.b[i], x[i])
            expected = [case.oracle(o[row], y[i, row]) for row in rows]
            np.testing.assert_allclose(each[rows], expected, rtol=1e-4, atol=1e-5)
            check(mean, each.mean())


# ------------------------------------------------------------------ fits


def real(rng, o):
    return o + rng.normal(size=o.shape)


def binary(rng, o):
    return (o + rng.logistic(size=o.shape) > 0).astype(float)


def counts(rng, o):
    return rng.poisson(np.exp(o / 2)).astype(float)


def positive(rng, o):
    return np.exp(o / 2) * rng.gamma(2.0, size=o.shape) + 0.1


def classes(rng, o):
    return (o + rng.gumbel(size=o.shape)).argmax(axis=-1).astype(np.int32)


# The slope of a loss in its outputs (n, k), in NumPy.
SLOPES = {
    "squared": lambda o, y: o - y,
    "logistic": lambda o, y: 1 / (1 + np.exp(-o)) - y,
    "poisson": lambda o, y: np.exp(o) - y,
    "gamma": lambda o, y: 1 - y * np.exp(-o),
    "huber": lambda o, y: np.clip(o - y, -1, 1),
    "softmax": lambda o, y: oracles.softmax(o) - oracles.one_hot(y, o.shape[1]),
}
L2 = 0.1
L2S = np.array([0.1, 1.0], np.float32)


def fold_weights(n):
    return (np.arange(n) % 2 == np.arange(2)[:, None]).astype(np.float32)


def chosen(result):
    return result.fit, result.l2


def at(l2, fit):
    return fit, jnp.asarray(l2, jnp.float32)


def last(fit):
    """Of a path, the fit at its last penalty."""
    return jax.tree.map(lambda leaf: leaf[-1], fit), jnp.asarray(L2S[-1])


# run(x, y) -> (fit, l2), the slope of its loss, and its targets.
FITS = {
    "least_squares": (lambda x, y: at(0.0, jl.least_squares(x, y)), "squared", real),
    "ridge": (lambda x, y: at(L2, jl.ridge(x, y, L2)), "squared", real),
    "ridge_path": (lambda x, y: last(jl.ridge_path(x, y, L2S)), "squared", real),
    "ridge_cv": (lambda x, y: chosen(jl.ridge_cv(x, y, L2S)), "squared", real),
    "ridge_cv by folds": (
        lambda x, y: chosen(jl.ridge_cv(x, y, L2S, folds=3)),
        *("squared", real),
    ),
    "gram": (lambda x, y: at(L2, jl.gram.ridge(jl.gram.of(x, y), L2)), "squared", real),
    "logistic": (lambda x, y: at(L2, jl.logistic_regression(x, y, L2)), "logistic", binary),
    "softmax": (
        lambda x, y: at(L2, jl.softmax_regression(x, y, L2, classes=3)),
        *("softmax", classes),
    ),
    "poisson": (lambda x, y: at(L2, jl.poisson_regression(x, y, L2)), "poisson", counts),
    "huber": (lambda x, y: at(L2, jl.glm(losses.huber, x, y, L2)), "huber", real),
    "glm_path": (lambda x, y: last(jl.glm_path(losses.gamma, x, y, L2S)), "gamma", positive),
    "glm_cv": (
        lambda x, y: chosen(jl.glm_cv(losses.logistic, x, y, L2S, fold_weights(len(x)))),
        *("logistic", binary),
    ),
    "linear_probe": (
        lambda x, y: chosen(
            jl.linear_probe(x, y, np.arange(len(x)) % 3 == 0, L2S, loss=losses.logistic)
        ),
        *("logistic", binary),
    ),
}
SLOW_TO_COMPILE = {"glm_cv", "linear_probe", "glm_path"}
ONE_OUTPUT = {"glm_cv", "linear_probe", "poisson", "huber", "glm_path"}


@every_size
@pytest.mark.parametrize("name", FITS)
def test_fits(n, name):
    """Parameters at the optimum by the gradient in float64, and outputs row by row."""
    if name in SLOW_TO_COMPILE and n != 32_769:
        pytest.skip("its parts, and glm, meet this size")
    run, slope, targets = FITS[name]
    turn = list(FITS).index(name)
    d, k = widths(n, turn)
    k = 3 if slope == "softmax" else k
    rng, x, o = problem(n, d, k)
    y = single(targets(rng, o))
    single_output = name in ONE_OUTPUT or (k == 1 and y.ndim == 3)
    y = y[..., 0] if single_output else y

    def with_outputs(x, y):
        fit, l2 = run(x, y)
        return fit.params, fit.report, l2, jl.predict(fit.params, x)

    way = WAYS[(SIZES.index(n) + turn) % 3]
    for i, (params, report, l2, outputs) in enumerate(run_in(way, with_outputs, x, y)):
        assert (report.status == jl.Status.CONVERGED).all()
        o = oracles.affine(params.w, params.b, x[i])
        check(outputs, o)
        o, target = o.reshape(n, -1), y[i] if slope == "softmax" else y[i].reshape(n, -1)
        each = SLOPES[slope](o, target) / n
        w = params.w.reshape(-1, d)
        gradient = each.T @ x[i].astype(np.float64) + np.reshape(l2, (-1, 1)) * w
        assert np.abs(gradient).max() < 1e-5
        assert np.abs(each.sum(axis=0)).max() < 1e-5


def stacked(models):
    return jl.Linear(*(np.stack(leaves).astype(np.float32) for leaves in zip(*models, strict=True)))


def logistic_optimum(x, y):
    """By Newton's method."""
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    w = np.zeros(ones.shape[1])
    for _ in range(10):
        p = 1 / (1 + np.exp(-ones @ w))
        w = w - np.linalg.solve((ones * (p * (1 - p))[:, None]).T @ ones, ones.T @ (p - y))
    return w[:-1], w[-1]


@every_size
def test_inference(n):
    """Leverages row by row, and standard errors."""
    d, _ = widths(n, 0)
    rng, x, o = problem(n, d, 1)
    y, label = single(real(rng, o)[..., 0]), single(binary(rng, o)[..., 0])

    line = stacked([oracles.ridge(x[i].astype(float), y[i], 0.0) for i in range(MODELS)])
    params = stacked([logistic_optimum(x[i].astype(float), label[i]) for i in range(MODELS)])

    def run(line, params, x, y, label):
        return (
            jl.inference.of_least_squares(line, x, y),
            jl.inference.of_glm(losses.logistic, params, x, label),
        )

    way = WAYS[SIZES.index(n) % 3]
    for i, (told, of_glm) in enumerate(run_in(way, run, line, params, x, y, label)):
        ones = np.concatenate([x[i].astype(np.float64), np.ones((n, 1))], axis=1)
        inverse = np.linalg.inv(ones.T @ ones)
        residual = y[i] - ones @ (inverse @ (ones.T @ y[i]))
        check(told.leverage, ((ones @ inverse) * ones).sum(axis=1), 1e-4)
        variance = residual @ residual / (n - d - 1)
        check(told.standard_error.w, np.sqrt(variance * np.diag(inverse)[:d]), 1e-4)
        p = 1 / (1 + np.exp(-oracles.affine(params.w[i], params.b[i], x[i])))
        inverse = np.linalg.inv((ones * (p * (1 - p))[:, None]).T @ ones)
        check(of_glm.standard_error.w, np.sqrt(np.diag(inverse)[:d]), 1e-4)
        value = -2 * np.where(label[i] == 1, np.log(p), np.log1p(-p)).sum()
        check(of_glm.deviance, value, 1e-4)


@every_size
def test_gram(n):
    d, k = widths(n, 1)
    rng, x, o = problem(n, d, k)
    y = single(real(rng, o))
    way = WAYS[(SIZES.index(n) + 1) % 3]
    for i, got in enumerate(run_in(way, jl.gram.of, x, y)):
        away, sides = (
            each - each.mean(axis=0) for each in (x[i].astype(float), y[i].astype(float))
        )
        assert got.weight == got.count == n
        check(got.mean_x, x[i].mean(axis=0, dtype=float), 1e-4)
        check(got.xx, away.T @ away)
        check(got.xy, sides.T @ away, 1e-4)
        check(got.yy, (sides**2).sum(axis=0))


@every_size
def test_sgd(n):
    """Minibatches in the order of the key, a ragged last one, by hand in NumPy."""
    d, k = widths(n, 2)
    rng, x, o = problem(n, d, k)
    y = single(real(rng, o))
    key, size, epochs, lr = jax.random.key(0), 4096, 2, 0.05

    def run(x, y):
        options = {"key": key, "lr": lr, "epochs": epochs, "batch_size": size}
        fit = jl.sgd_fit(losses.squared_error, x, y, **options)
        return fit.params, fit.history

    way = WAYS[(SIZES.index(n) + 2) % 3]
    results = run_in(way, run, x, y)
    orders = [
        np.asarray(epoch_order(jax.random.fold_in(key, epoch), n, size)) for epoch in range(epochs)
    ]
    for i, (params, history) in enumerate(results):
        w, b, expected = np.zeros((k, d)), np.zeros(k), []
        for order in orders:
            np.testing.assert_array_equal(np.sort(order), np.arange(n))
            total = 0.0
            for start in range(0, n, size):
                rows = order[start : start + size]
                r = oracles.affine(w, b, x[i][rows]) - y[i][rows]
                total += (r**2).sum() / 2
                w, b = w - lr * r.T @ x[i][rows] / len(rows), b - lr * r.mean(axis=0)
            expected.append(total / n)
        check(params.w, w, 1e-4)
        check(params.b, b, 1e-4)
        check(history, expected)


@every_size
def test_resampling(n):
    groups = np.arange(n) % 3

    def run(key):
        return {
            "k_fold": jl.resample.k_fold(key, n, 3),
            "stratified": jl.resample.stratified_k_fold(key, groups, 3),
            "bootstrap": jl.resample.bootstrap(key, n, 2),
        }

    way = WAYS[SIZES.index(n) % 3]
    for got in run_in(way, run, jax.random.split(jax.random.key(0), MODELS)):
        for name in ("k_fold", "stratified"):
            np.testing.assert_array_equal((1 - got[name]).sum(axis=0), np.ones(n))
        held = [
            [(1 - fold)[groups == group].sum() for group in range(3)] for fold in got["stratified"]
        ]
        assert np.ptp(held) <= 1
        np.testing.assert_array_equal(got["bootstrap"].sum(axis=1), [n, n])
