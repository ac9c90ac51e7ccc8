"""Units do not matter: weights, targets and columns times c give the same fit in these units."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import full_but

import jaxlinear as jl
from jaxlinear import Status, gram

SCALES = [1e-30, 1e-20, 1e-10, 1e10, 1e20, 1e30]
N, D, L2 = 24, 3, 0.3


def problem(n=N, d=D, outputs=()):
    rng = np.random.default_rng(0)
    x = 1 + rng.normal(size=(n, d))
    y = 2 + (x @ rng.normal(size=(d, *outputs))) + rng.normal(size=(n, *outputs)) / 2
    return x, y, rng.uniform(0.5, 2, n)


def from_gram(x, y, l2, weight):
    return gram.ridge(gram.of(x, y, weight), l2)


def only(stack):
    return jax.tree.map(lambda leaf: leaf[0], stack)


EXACT = {
    "least_squares": lambda x, y, l2, weight: jl.least_squares(x, y, weight=weight),
    "ridge": lambda x, y, l2, weight: jl.ridge(x, y, l2, weight=weight),
    "ridge without b": lambda x, y, l2, weight: jl.ridge(x, y, l2, weight=weight, intercept=False),
    "ridge per target": lambda x, y, l2, weight: jl.ridge(
        x, y, l2 * jnp.ones(2), weight=weight
    ),
    "ridge_path": lambda x, y, l2, weight: only(
        jl.ridge_path(x, y, jnp.stack([l2, 2 * l2]), weight=weight)
    ),
    "ridge_cv": lambda x, y, l2, weight: jl.ridge_cv(x, y, l2[None], weight=weight).fit,
    "folds": lambda x, y, l2, weight: jl.ridge_cv(x, y, l2[None], folds=4, weight=weight).fit,
    "gram": from_gram,
}  # fmt: skip


@functools.cache
def compiled(name, dtype):
    return jax.jit(EXACT[name])


def in_other_units(c, d):
    """Arguments and coefficients times powers of c: (x, y, l2, weight), w and b."""
    own = np.where(np.arange(d) == 1, c, 1)
    return {
        "weight": ((1, 1, 1, c), 1, 1),
        "y": ((1, c, 1, 1), c, c),
        "x": ((c, 1, c * c, 1), 1 / c, 1),
        "x and y": ((c, c, c * c, 1), 1, c),
        "a column": ((own, 1, 1, 1), 1 / own, 1),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(N, D), (6, 9)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", full_but(EXACT, "least_squares", "ridge per target"))
def test_exact_fits(name, shape, dtype):
    x, y, weight = problem(*shape, (2,) if name == "ridge per target" else ())
    free = name == "least_squares"
    l2 = 0.0 if free else L2
    w, b = oracles.ridge(x, y, l2, weight, "without" not in name)
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    with jax.enable_x64(dtype == np.float64):
        for c in SCALES:
            for kind, (times, of_w, of_b) in in_other_units(c, shape[1]).items():
                room = free or 1e-37 < times[2] < 1e37 or dtype == np.float64
                if not room or (kind == "a column" and not (free and shape == (N, D))):
                    continue  # the penalty is another one, or the least norm
                pairs = zip((x, y, np.array(l2), weight), times, strict=True)
                given = [(part * by).astype(dtype) for part, by in pairs]
                fit = compiled(name, dtype)(*given)
                status = Status(int(np.max(fit.report.status)))
                label = f"{kind} times {c:g}: {status.name}"
                if name == "gram" and status == Status.DIVERGED:
                    continue  # its squares have no room
                deficient = free and shape == (6, 9)
                assert status == (Status.RANK_DEFICIENT if deficient else Status.CONVERGED), label
                close = functools.partial(np.testing.assert_allclose, err_msg=label)
                close(fit.params.w / of_w, w, rtol=10 * tolerance, atol=tolerance)
                close(fit.params.b / of_b, b, rtol=10 * tolerance)
                sizes = np.max(of_b) ** 2
                if 1e-36 < sizes < 1e36 or dtype == np.float64:
                    value = oracles.mean_loss(oracles.squared_error, w, b, x, y, weight, l2)
                    close(fit.report.objective / sizes, value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standard_errors(dtype):
    """Those of coefficients have their units; weights are relative, and n − p counts examples."""
    x, y, weight = problem()
    told = jax.jit(jl.inference.of_least_squares)
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    with jax.enable_x64(dtype == np.float64):

        def inference(x, y, weight):
            x, y, weight = (np.asarray(part, dtype) for part in (x, y, weight))
            params = compiled("least_squares", dtype)(x, y, dtype(0), weight).params
            return told(params, x, y, weight=weight)

        plain = inference(x, y, weight)
        close = functools.partial(np.testing.assert_allclose, rtol=tolerance)
        for c in SCALES:
            for (of_x, of_y, _, of_weight), of_w, of_b in in_other_units(c, D).values():
                got = inference(x * of_x, y * of_y, weight * of_weight)
                close(got.standard_error.w / of_w, plain.standard_error.w)
                close(got.standard_error.b / of_b, plain.standard_error.b)
                close(got.leverage, plain.leverage)
                close(got.r2, plain.r2)


def test_means_and_metrics_do_not_depend_on_the_unit_of_the_weights():
    x, y, weight = (np.float32(part) for part in problem())
    params = jl.Linear(jnp.ones(D), jnp.array(0.0))
    objective = jl.mean_loss(jl.losses.squared_error)

    @jax.jit
    def values(weight):
        o = jl.predict(params, x)
        value, slope = jax.value_and_grad(objective, argnums=1)(params, jl.Batch(x, y, weight))
        return value, jl.metrics.r2(o, y, weight), jl.metrics.mse(1e8 * o, y, weight), slope.weight

    plain = values(weight)
    for c in SCALES:
        *got, slopes = values(weight * np.float32(c))
        np.testing.assert_allclose(got, plain[:3], rtol=1e-4)
        np.testing.assert_allclose(slopes * np.float32(c), plain[3], rtol=1e-3, atol=1e-6)


CONVEX = {
    "logistic": (jl.losses.logistic, lambda rng, y: (y > 2) * 1.0),
    "softmax": (jl.losses.softmax_cross_entropy, lambda rng, y: (y > 1).astype(int) + (y > 3)),
    "poisson": (jl.losses.poisson, lambda rng, y: rng.poisson(2.0, len(y)) * 1.0),
    "gamma": (jl.losses.gamma, lambda rng, y: rng.gamma(2.0, size=len(y)) + 0.1),
    "huber": (jl.losses.huber, lambda rng, y: y),
}


@pytest.mark.parametrize("name", full_but(CONVEX, "softmax", "poisson"))
def test_convex_fits(name):
    loss, targets = CONVEX[name]
    x, y, weight = problem(60)
    x, weight = np.float32(x), np.float32(weight)
    y = np.asarray(targets(np.random.default_rng(1), y))
    y = y if name == "softmax" else np.float32(y)
    l2, outputs = np.float32(1e-3), 3 if name == "softmax" else None
    fit = jax.jit(lambda x, l2, weight: jl.glm(loss, x, y, l2, weight=weight, outputs=outputs))
    plain = fit(x, l2, weight)
    close = functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)
    for c in map(np.float32, SCALES):
        got = fit(x, l2, weight * c)
        assert Status(int(got.report.status)) == Status.CONVERGED
        close(got.params.w, plain.params.w)
        if 1e-30 < float(c) ** 2 * float(l2) < 1e30:
            got = fit(x * c, l2 * c * c, weight)
            assert Status(int(got.report.status)) == Status.CONVERGED
            close(got.params.w * c, plain.params.w)


@pytest.mark.parametrize("solver", ["least_squares", "ridge"])
def test_coefficients_without_room_are_diverged(solver):
    x, y, _ = (np.float32(part) for part in problem())
    for of_x, of_y in ((1e-30, 1e30), (1e30, 1e-30)):
        fit = compiled(solver, np.float32)(x * np.float32(of_x), y * np.float32(of_y), 0.0, None)
        assert Status(int(fit.report.status)) == Status.DIVERGED
        assert np.isnan(fit.params.w).all()
