"""The numbers of every public function on a fixed table of inputs, written before a change of the
code and compared after it:

    python tests/same_numbers.py write before.npz
    python tests/same_numbers.py compare before.npz

``compare`` says how many results are equal to the last bit, and names those that differ by more
than one millionth of their largest entry. Files of two machines differ by the rounding of their
processors.
"""

import functools
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxlinear as jl
from jaxlinear import losses

RELATIVE = 1e-6
SHAPES = {"tall": (40, 3), "wide": (6, 9)}
WEIGHTS = ("none", "weights", "absent")
KEY = 0

# What a loss expects of its targets, for outputs o (n, k).
TARGETS = {
    "squared_error": lambda rng, o: o + rng.normal(size=o.shape),
    "logistic": lambda rng, o: (o + rng.normal(size=o.shape) > 0).astype(float),
    "poisson": lambda rng, o: rng.poisson(np.exp(0.3 * o)).astype(float),
    "gamma": lambda rng, o: np.exp(0.3 * o) * rng.gamma(2.0, size=o.shape),
    "huber": lambda rng, o: o + rng.standard_t(2, size=o.shape),
    "smooth_quantile": lambda rng, o: o + rng.normal(size=o.shape),
    "squared_hinge": lambda rng, o: np.sign(o + rng.normal(size=o.shape)),
    "softmax_cross_entropy": lambda rng, o: np.argmax(o + rng.gumbel(size=o.shape), axis=1),
}


def problem(dtype, shape="tall", weights="none", loss="squared_error", outputs=1, seed=0):
    """x, y and weights of a kind; y is (n,) for one output."""
    n, d = SHAPES[shape]
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.logspace(0, 1, d) + 3
    o = (x - 3) @ rng.normal(size=(d, outputs)) / 4
    y = TARGETS[loss](rng, o)
    labels = loss == "softmax_cross_entropy"
    if labels:
        y[:outputs] = np.arange(outputs)
    elif outputs == 1:
        y = y[:, 0]
    weight = {"none": None, "weights": rng.uniform(0.5, 2, n), "absent": np.ones(n)}[weights]
    if weights == "absent":
        weight[-2:] = 0
        x[-1] = np.nan
    weight = None if weight is None else weight.astype(dtype)
    return x.astype(dtype), y.astype(np.int32 if labels else dtype), weight


def _exact(dtype):
    for shape, weights, outputs in itertools.product(SHAPES, WEIGHTS, (1, 3)):
        x, y, weight = problem(dtype, shape, weights, outputs=outputs)
        name = f"{shape} {weights} {outputs}"
        fit = functools.partial(jl.least_squares, x, y, weight=weight)
        yield f"least_squares {name}", fit
        yield f"ridge {name}", functools.partial(jl.ridge, x, y, 0.1, weight=weight)
        if (weights == "none") != (outputs == 1):
            continue
        path = functools.partial(jl.ridge_path, x, y, [0.01, 0.1, 1.0], weight=weight)
        yield f"ridge_path {name}", path
        yield f"ridge_cv {name}", functools.partial(jl.ridge_cv, x, y, [0.01, 1.0], weight=weight)
        if weights != "weights":
            continue
        each = functools.partial(jl.ridge, x, y, np.array([0.1, 0.2, 0.3]), weight=weight)
        yield f"ridge of each target {name}", each
        for option in ({"folds": 3}, {"folds": 3, "per_target": True}, {"generalized": True}):
            chosen = functools.partial(jl.ridge_cv, x, y, [0.01, 1.0], weight=weight, **option)
            yield f"ridge_cv {option} {name}", chosen
        yield f"gram {name}", lambda x=x, y=y, w=weight: jl.gram.ridge(jl.gram.of(x, y, w), 0.1)
    x, y, weight = problem(dtype, weights="weights")
    without = functools.partial(jl.least_squares, x, y, weight=weight, intercept=False)
    yield "least_squares without intercept", without
    dependent = np.concatenate([x, x[:, :1]], axis=1)
    yield "least_squares of dependent columns", functools.partial(jl.least_squares, dependent, y)
    halves = jl.gram.of(x[:20], y[:20]), jl.gram.of(x[20:], y[20:])
    yield "gram merged", lambda: jl.gram.ridge(jl.gram.merge(*halves), 0.1)
    yield "gram uncentred", lambda: jl.gram.ridge(jl.gram.of(x, y), 0.1, intercept=False)
    folds = jl.resample.k_fold(jax.random.key(KEY), len(x), 4)
    yield "ridge_cv of weights as folds", lambda: jl.ridge_cv(x, y, [0.01, 1.0], folds=folds)
    yield (
        "ridge of many weights",
        lambda: jax.vmap(lambda weight: jl.ridge(x, y, 0.1, weight=weight))(folds.astype(dtype)),
    )
    yield (
        "slope of ridge",
        lambda: jax.grad(
            lambda x, y, l2: jl.ridge(x, y, l2, weight=weight).params.w.sum(), argnums=(0, 1, 2)
        )(x, y, np.asarray(0.1, dtype)),
    )


def _convex(dtype):
    for loss, weights in itertools.product(TARGETS, WEIGHTS):
        outputs = 3 if loss == "softmax_cross_entropy" else 1
        x, y, weight = problem(dtype, "tall", weights, loss, outputs)
        fit = functools.partial(jl.glm, getattr(losses, loss), weight=weight)
        if loss == "softmax_cross_entropy":
            fit = functools.partial(fit, outputs=3)
        yield f"glm {loss} {weights}", functools.partial(fit, x, y, 0.01)
        if weights == "none":
            wide, target, _ = problem(dtype, "wide", "none", loss, outputs)
            yield f"glm {loss} wide", functools.partial(fit, wide, target, 0.1)
        if weights == "weights":
            path = functools.partial(jl.glm_path, getattr(losses, loss), weight=weight)
            yield f"glm_path {loss}", functools.partial(path, x, y, [0.01, 0.1, 1.0])
            slope = jax.grad(
                lambda x, l2, fit=fit, y=y: fit(x, y, l2).params.w[..., 0].sum(), (0, 1)
            )
            yield f"slope of glm {loss}", functools.partial(slope, x, np.asarray(0.1, dtype))
    for loss, outputs in (("logistic", 1), ("logistic", 3), ("softmax_cross_entropy", 3)):
        x, y, weight = problem(dtype, "tall", "weights", loss, outputs)
        of = getattr(losses, loss)
        chosen = functools.partial(jl.glm_cv, of, x, y, [0.01, 1.0], weight=weight)
        yield f"glm_cv {loss} {outputs}", functools.partial(chosen, folds=3)
        probe = functools.partial(jl.linear_probe, x, y, np.arange(30, 40), [0.01, 1.0], loss=of)
        yield f"linear_probe {loss} {outputs}", functools.partial(probe, weight=weight)
    x, y, weight = problem(dtype, "tall", "weights", "softmax_cross_entropy", 3)
    yield "softmax_regression", functools.partial(jl.softmax_regression, x, y, 0.1, weight=weight)
    x, y, weight = problem(dtype, "tall", "weights", "logistic", 3)
    yield "logistic_regression of labels", functools.partial(jl.logistic_regression, x, y, 0.1)
    yield (
        "logistic_regression of an l2 each",
        functools.partial(jl.logistic_regression, x, y, np.array([0.1, 0.2, 0.3])),
    )
    x, y, weight = problem(dtype, "tall", "weights", "poisson")
    offset = np.linspace(0, 1, len(x)).astype(dtype)
    fit = functools.partial(jl.poisson_regression, x, y, weight=weight, offset=offset)
    yield "poisson_regression with offset", fit
    yield "poisson_regression without intercept", functools.partial(fit, intercept=False)
    folds = jl.resample.bootstrap(jax.random.key(KEY), len(x), 3).astype(dtype)
    yield (
        "glm of many weights",
        lambda: jax.vmap(
            lambda weight: jl.glm(losses.logistic, x, (y > 1).astype(dtype), 0.1, weight=weight)
        )(folds),
    )
    yield (
        "glm of many l2s",
        lambda: jax.vmap(lambda l2: jl.glm(losses.poisson, x, y, l2))(
            np.array([0.01, 0.1, 1.0], dtype)
        ),
    )


def _training(dtype):
    key = jax.random.key(KEY)
    for loss, weights in itertools.product(("squared_error", "softmax_cross_entropy"), WEIGHTS):
        outputs = 3 if loss == "softmax_cross_entropy" else 1
        x, y, weight = problem(dtype, "tall", weights, loss, outputs)
        fit = functools.partial(
            jl.sgd_fit, getattr(losses, loss), x, y, key=key, lr=0.003, weight=weight, epochs=3,
            batch_size=16, outputs=3 if outputs == 3 else None,
        )  # fmt: skip
        yield f"sgd_fit {loss} {weights}", lambda fit=fit: fit()._replace(state=None)
        if weights == "none":
            adam = functools.partial(fit, optimizer=optax.adam, l2=0.01)
            yield f"sgd_fit adam {loss}", lambda fit=adam: fit()._replace(state=None)
            ball = functools.partial(fit, momentum=0.9, drop_last=True)
            yield f"sgd_fit momentum {loss}", lambda fit=ball: fit()._replace(state=None)
            hypers = jl.grid(lr=[0.001, 0.003], l2=[0.0, 0.1])
            run = lambda hyper, fit=fit: fit(**hyper).params  # noqa: E731
            yield f"sweep {loss}", lambda run=run, hypers=hypers: jl.sweep(run, hypers)
    batch = jl.data.synthetic_regression(key, 30, jnp.ones(3, dtype), jnp.ones((), dtype))
    yield "synthetic_regression", lambda: batch
    yield "batches", lambda: list(jl.data.batches(key, batch, 8))


def _inference(dtype):
    for weights, outputs in itertools.product(("none", "weights"), (1, 3)):
        x, y, weight = problem(dtype, "tall", weights, outputs=outputs)
        fit = jl.least_squares(x, y, weight=weight)
        told = functools.partial(jl.inference.of_least_squares, fit, x, y, weight=weight)
        yield f"of_least_squares {weights} {outputs}", told
    for loss, weights in itertools.product(("logistic", "poisson", "gamma"), ("none", "weights")):
        x, y, weight = problem(dtype, "tall", weights, loss)
        fit = jl.glm(getattr(losses, loss), x, y, weight=weight)
        told = functools.partial(jl.inference.of_glm, getattr(losses, loss), fit, x, y)
        yield f"of_glm {loss} {weights}", functools.partial(told, weight=weight)


def _functions(dtype):
    for loss, weights in itertools.product(TARGETS, WEIGHTS):
        outputs = 3 if loss == "softmax_cross_entropy" else 1
        x, y, weight = problem(dtype, "tall", weights, loss, outputs)
        params = jl.zeros(x.shape[1], 3 if outputs == 3 else None, dtype)
        params = params._replace(w=params.w + 0.1)
        slope = jax.value_and_grad(jl.mean_loss(getattr(losses, loss)))
        batch = jl.Batch(x, y, weight)
        yield f"mean_loss {loss} {weights}", functools.partial(slope, params, batch, 0.1)
    x, y, _ = problem(dtype, loss="softmax_cross_entropy", outputs=3)
    params = jl.normal(x.shape[1], 3, key=jax.random.key(KEY))
    for function in (jl.predict, jl.probabilities, jl.labels):
        yield function.__name__, functools.partial(function, params, x)
    p, q = jl.probabilities(params, x), jl.probabilities(params, -x)
    for name in ("entropy", "cross_entropy", "kl_divergence", "perplexity"):
        arguments = (p,) if name == "entropy" else (p, q)
        yield name, functools.partial(getattr(jl.information, name), *arguments)
    for name in ("accuracy", "log_loss"):
        yield name, functools.partial(getattr(jl.metrics, name), jl.predict(params, x), y)
    key = jax.random.key(KEY)
    yield "k_fold", lambda: jl.resample.k_fold(key, 17, 4, repeats=2)
    yield "stratified_k_fold", lambda: jl.resample.stratified_k_fold(key, y, 4)
    yield "bootstrap", lambda: jl.resample.bootstrap(key, 17, 4)
    yield "leave_one_group_out", lambda: jl.resample.leave_one_group_out(y)
    yield "pad_groups", lambda: jl.resample.pad_groups(y, x, y)[1]


PARTS = (_exact, _convex, _training, _inference, _functions)


def cases(dtype):
    """Every case as a name and a function without arguments."""
    for part in PARTS:
        jax.clear_caches()  # or a process runs out of memory maps
        for name, run in part(dtype):
            yield f"{np.dtype(dtype).name}: {name}", run


def results(dtype) -> dict[str, np.ndarray]:
    """The arrays of all cases, by their case and place in its result."""
    found = {}
    with jax.enable_x64(dtype == np.float64):
        for name, run in cases(dtype):
            for place, leaf in jax.tree_util.tree_leaves_with_path(run()):
                found[f"{name} {jax.tree_util.keystr(place)}"] = np.asarray(leaf)
    return found


def difference(a, b) -> float:
    """How far two results are apart, as a part of the largest entry; what no number is, agrees."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    a, b = a.astype(float), b.astype(float)
    if (np.isfinite(a) != np.isfinite(b)).any() or (np.isnan(a) != np.isnan(b)).any():
        return np.inf
    if not np.array_equal(a[np.isinf(a)], b[np.isinf(b)]):
        return np.inf
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    return float(np.max(np.abs(a - b), initial=0) / max(np.max(np.abs(a), initial=0), 1e-300))


def compare(before: dict, after: dict) -> dict[str, float]:
    """The differences that are more than ``RELATIVE``, and what one of both lacks."""
    apart = {name: np.inf for name in before.keys() ^ after.keys()}
    for name in before.keys() & after.keys():
        if (size := difference(before[name], after[name])) > RELATIVE:
            apart[name] = size
    return apart


def main(action: str, path: str) -> int:
    jax.config.update("jax_disable_most_optimizations", True)  # it compiles most of the time
    found = {**results(np.float32), **results(np.float64)}
    if action == "write":
        np.savez_compressed(path, **found)
        print(f"{len(found)} arrays of {len({n.split(' .')[0] for n in found})} cases")
        return 0
    with np.load(path) as file:
        before = dict(file)
    equal = sum(np.array_equal(before[n], found.get(n), equal_nan=True) for n in before)
    apart = compare(before, found)
    print(f"{equal} of {len(before)} arrays are equal to the last bit; {len(apart)} are apart")
    for name in sorted(apart):
        print(f"  {apart[name]:.1e} {name}")
    return bool(apart)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
