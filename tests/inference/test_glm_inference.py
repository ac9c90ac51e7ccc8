"""Likelihoods and standard errors against their formulas in NumPy. See test_convex for R's."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import full_but
from scipy import special

import jaxlinear as jl
from jaxlinear import inference, losses

N, D = 30, 2


class Case(NamedTuple):
    """A loss, its targets, and (slopes, bends, log density at dispersion φ) in NumPy."""

    loss: callable
    targets: callable
    slopes: callable
    bends: callable
    log_density: callable
    dispersion: float | None
    outputs: int | None = None


def _softmax_bends(o):
    p = oracles.softmax(o)
    return np.einsum("nk,kl->nkl", p, np.eye(3)) - np.einsum("nk,nl->nkl", p, p)


def _gamma_density(o, y, phi):
    a = 1 / phi
    return a * np.log(a * y * np.exp(-o)) - a * y * np.exp(-o) - np.log(y) - special.gammaln(a)


def _square(bends):
    return lambda o: bends(o)[:, None, None]


def _sigmoid(o):
    return 1 / (1 + np.exp(-o))


CASES = {
    "gaussian": Case(
        losses.squared_error, lambda rng, o: o + rng.normal(size=o.shape), lambda o, y: o - y,
        _square(np.ones_like),
        lambda o, y, phi: -np.square(o - y) / (2 * phi) - np.log(2 * np.pi * phi) / 2, None,
    ),
    "logistic": Case(
        losses.logistic, lambda rng, o: rng.integers(0, 2, size=o.shape) * 1.0,
        lambda o, y: _sigmoid(o) - y, _square(lambda o: _sigmoid(o) * _sigmoid(-o)),
        lambda o, y, phi: y * np.log(_sigmoid(o)) + (1 - y) * np.log(_sigmoid(-o)), 1.0,
    ),
    "poisson": Case(
        losses.poisson, lambda rng, o: rng.poisson(np.exp(o)) * 1.0, lambda o, y: np.exp(o) - y,
        _square(np.exp), lambda o, y, phi: y * o - np.exp(o) - special.gammaln(y + 1), 1.0,
    ),
    "gamma": Case(
        losses.gamma, lambda rng, o: rng.gamma(2, size=o.shape) * np.exp(o),
        lambda o, y: 1 - y * np.exp(-o), _square(np.ones_like), _gamma_density, None,
    ),
    "softmax": Case(
        losses.softmax_cross_entropy, lambda rng, o: rng.integers(0, 3, size=len(o)),
        lambda o, y: oracles.softmax(o) - oracles.one_hot(y, 3), _softmax_bends,
        lambda o, y, phi: np.log(oracles.softmax(o))[np.arange(len(y)), y], 1.0, 3,
    ),
}  # fmt: skip


def problem(name):
    """One of the examples is absent, and holds nothing; the columns have means and sizes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * [10, 0.1] + [50, -1]
    shape = () if CASES[name].outputs is None else (CASES[name].outputs,)
    params = jl.Linear(rng.normal(size=(*shape, D)) * [0.1, 10], rng.normal(size=shape))
    params = params._replace(b=params.b - params.w @ [50, -1])
    y = CASES[name].targets(rng, x @ params.w.T + params.b)
    weight = rng.integers(1, 4, size=N) * 1.0
    weight[4] = 0
    params = jl.glm(CASES[name].loss, x, y, weight=weight).params
    return jax.tree.map(np.float64, params), x, y, weight


def formulas(name, params, x, y, weight):
    """The two kinds of errors of (b, w), Σ log f, and the dispersion."""
    case = CASES[name]
    x, y, weight = (part[weight > 0] for part in (x, y, weight))
    design = np.hstack([np.ones((len(x), 1)), x])
    o = x @ params.w.T + params.b
    slopes, bends = case.slopes(o, y).reshape(len(x), -1), case.bends(o)
    size = slopes.shape[1] * design.shape[1]
    hessian = np.einsum("n,nkl,np,nq->kplq", weight, bends, design, design).reshape(size, size)
    scores = np.einsum("nk,np->nkp", slopes, design).reshape(len(x), size)
    # Scaled alike for all classes, whose sum is 0 either way: the digits of pinv are those of that.
    scale = np.tile(np.sqrt(weight @ np.square(design)), slopes.shape[1])
    inverse = np.linalg.pinv(hessian / np.outer(scale, scale), rcond=1e-12) / np.outer(scale, scale)
    phi = likely = case.dispersion
    if phi is None:
        pearson = np.square(slopes[:, 0]) / bends[:, 0, 0]
        phi = weight @ pearson / (weight.sum() - size)
        best = y if name == "gaussian" else np.log(y)
        least = case.log_density(best, y, 1.0) - case.log_density(o, y, 1.0)
        likely = 2 * weight @ least / weight.sum()
    meat = scores.T @ (weight[:, None] * scores)
    both = phi * inverse, inverse @ meat @ inverse
    shape = (*params.b.shape, design.shape[1])
    errors = [np.sqrt(np.diag(matrix)).reshape(shape) for matrix in both]
    return errors, weight @ case.log_density(o, y, likely), phi


def stacked(errors):
    return np.concatenate([np.asarray(errors.b)[..., None], errors.w], axis=-1)


@pytest.mark.parametrize("name", full_but(CASES, "gamma", "softmax"))
def test_equals_the_formulas_and_weights_count_copies(name, x64):
    params, x, y, weight = problem(name)
    (plain, robust), log_likelihood, phi = formulas(name, params, x, y, weight)
    x[4], y = np.nan, y if y.dtype == int else np.where(weight == 0, np.nan, y)
    told = inference.of_glm(CASES[name].loss, params, x, y, weight=weight)
    np.testing.assert_allclose(stacked(told.standard_error), plain, rtol=1e-9)
    np.testing.assert_allclose(stacked(told.robust_error), robust, rtol=1e-9)
    assert float(told.log_likelihood) == pytest.approx(log_likelihood, rel=1e-10)
    assert float(told.dispersion) == pytest.approx(phi, rel=1e-10)
    copies = np.repeat(np.arange(N), weight.astype(int))
    same = inference.of_glm(CASES[name].loss, params, x[copies], y[copies])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), told, same)


@pytest.mark.full
def test_many_outputs_are_as_many_models(x64):
    params, x, y, weight = problem("poisson")
    y, offset = np.stack([y, 2 * y], axis=1), np.linspace(0, 1, 2 * N).reshape(N, 2)
    params = jl.poisson_regression(x, y, offset=offset, weight=weight)
    many = inference.of_glm(losses.poisson, params, x, y, offset=offset, weight=weight)
    alone = inference.of_glm(
        losses.poisson, jax.tree.map(lambda leaf: leaf[1], params.params), x, y[:, 1],
        offset=offset[:, 1], weight=weight,
    )  # fmt: skip
    second = jax.tree.map(lambda leaf: leaf[1], many)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), second, alone)


@pytest.mark.full
def test_what_is_not_known_is_nan():
    """Huber's loss has examples without curvature, and no likelihood."""
    _, x, y, _ = problem("gaussian")
    x, y = np.float32(x), np.float32(np.where(np.arange(N) == 3, 1e3, y))
    fit = jl.glm(losses.huber, x, y)
    told = inference.of_glm(losses.huber, fit.params, x, y)
    assert np.isnan(told.standard_error.w).all() and np.isfinite(told.robust_error.w).all()
    assert np.isnan(told.log_likelihood) and np.isnan(told.deviance)
    given = inference.of_glm(losses.huber, fit.params, x, y, dispersion=1.0)
    assert np.isfinite(given.standard_error.w).all() and told.robust_error.b.dtype == np.float32


def test_refused_by_name():
    params, x, y, _ = problem("poisson")
    of_poisson = functools.partial(inference.of_glm, losses.poisson)
    with pytest.raises(ValueError, match="params has w"):
        of_poisson(params._replace(w=np.zeros(3)), x, y)
    with pytest.raises(ValueError, match="numbers ≥ 0"):
        of_poisson(params, x, -1 - y)
    with pytest.raises(ValueError, match="offset has shape"):
        of_poisson(params, x, y, offset=np.zeros(3))
    with pytest.raises(ValueError, match="dispersion is -1"):
        of_poisson(params, x, y, dispersion=-1.0)


def test_a_family_of_your_own(x64):
    """The loss of the gamma distribution with its canonical link, and what it says of y alone."""

    @losses.family(losses.Family(lambda y: 1 + jnp.log(y), losses.family_of(losses.gamma)[1]))
    def inverse_gamma(o, y):
        return y * o - jnp.log(o)

    _, x, y, weight = problem("gamma")
    params = jl.Linear(np.zeros(D), np.array(1 / np.average(y, weights=weight)))
    # Not at the optimum, so that there are no errors; the likelihood is that of the parameters.
    told = inference.of_glm(inverse_gamma, params, x, y, weight=weight)
    constant = jl.Linear(np.zeros(D), np.log(np.average(y, weights=weight)))
    same = inference.of_glm(losses.gamma, constant, x, y, weight=weight)
    assert float(told.log_likelihood) == pytest.approx(float(same.log_likelihood))
    assert float(told.dispersion) == pytest.approx(float(same.dispersion))


# ------------------------------------------------------------------ away from the optimum


def errors_are_nan(told):
    errors = jax.tree.leaves((told.standard_error, getattr(told, "robust_error", None)))
    assert len({bool(np.isnan(leaf).all()) for leaf in errors}) == 1
    return bool(np.isnan(errors[0]).all())


LOGISTIC, POISSON = losses.logistic, losses.poisson
GROUP = np.arange(60) < 20
ENDLESS = {
    # name: (loss, y) of the columns (group, noise) where the optimum is at infinity
    "separable": (LOGISTIC, GROUP * 1.0),
    "a group of one label": (LOGISTIC, np.where(GROUP, 0.0, np.arange(60) % 2)),
    "no positives": (LOGISTIC, np.zeros(60)),
    "a group without events": (POISSON, np.where(GROUP, 0.0, np.arange(60) % 3)),
    "no events": (POISSON, np.zeros(60)),
}
NOISE = np.random.default_rng(3).normal(size=(60, 1))


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", full_but(ENDLESS, "separable", "no events"))
def test_no_errors_where_the_optimum_is_at_infinity(name, dtype):
    """Of the parameters alone, and at every distance, as of the fit."""
    loss, y = ENDLESS[name]
    with jax.enable_x64(dtype is np.float64):
        x, y = np.hstack([GROUP[:, None], NOISE]).astype(dtype), y.astype(dtype)
        fit = jl.glm(loss, x, y)
        finite = jl.glm(loss, x, np.float32(np.arange(60) % 2).astype(dtype))
        of = jax.jit(functools.partial(inference.of_glm, loss))
        assert errors_are_nan(of(fit.params, x, y)) and errors_are_nan(of(fit, x, y))
        for steps in (3, 10, 20):
            early = jl.glm(loss, x, y, max_steps=steps, tol=0.0)
            assert errors_are_nan(of(early.params, x, y))
        assert not errors_are_nan(of(finite.params, x, np.float32(np.arange(60) % 2).astype(dtype)))


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", full_but(CASES, "poisson"))
def test_errors_of_many_examples_at_an_optimum_that_is_rounded(name, dtype):
    """Columns far from 0, whose parameters rounding moves; a penalty is told from that."""
    rng = np.random.default_rng(0)
    x = rng.normal([0, 300], 1, size=(20_000, D))
    slopes = np.array([0.5, -0.3]) if name != "softmax" else rng.normal(size=(3, D)) / 2
    y = CASES[name].targets(rng, (x - [0, 300]) @ slopes.T)
    with jax.enable_x64(dtype is np.float64):
        loss, weight = CASES[name].loss, np.ones(len(x), dtype)
        x, y = x.astype(dtype), y if y.dtype == int else y.astype(dtype)
        fits = [jl.glm(loss, x, y, l2, weight=weight) for l2 in (0.0, 0.1)]
        told = [inference.of_glm(loss, fit.params, x, y, weight=weight) for fit in fits]
        assert not errors_are_nan(told[0]) and errors_are_nan(told[1])
        assert errors_are_nan(inference.of_glm(loss, fits[1], x, y, weight=weight))


@pytest.mark.full
def test_weights_that_leave_no_degrees_of_freedom_are_refused():
    """Of weights that sum to one; n copies of a saturated model have errors, which are known."""
    _, x, y, weight = problem("gamma")
    x, y, weight = np.float32(x), np.float32(y), np.float32(weight / weight.sum())
    for loss in (losses.squared_error, losses.gamma, losses.poisson):
        fit = jl.glm(loss, x, y, weight=weight)
        with pytest.raises(ValueError, match=r"weight sums to 1, and leaves -2 degrees of freedom"):
            inference.of_glm(loss, fit, x, y, weight=weight)
        told = jax.jit(functools.partial(inference.of_glm, loss))(fit, x, y, weight=weight)
        assert errors_are_nan(told)
    rows, counts = np.float32([[0.0], [1.0]]), np.float32([4.0, 9.0])
    fit = jl.poisson_regression(rows, counts)
    told = inference.of_glm(POISSON, fit, rows, counts, weight=np.ones(2))
    np.testing.assert_allclose(told.standard_error.b, 0.5, rtol=1e-4)
