"""In the span of few rows a problem is what it is in all its columns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import full_but

import jaxlinear as jl
from jaxlinear.convex import row_space

N, D = 12, 60


@pytest.fixture
def either_way(monkeypatch):
    """``either_way(fit)``: what a fit is in the row space, and in the columns as they came."""

    def both(fit):
        results = []
        for inside in (True, False):
            monkeypatch.setattr(row_space, "pays", lambda *_, inside=inside: inside)
            results.append(fit())
        return results

    return both


def data(k=None, kind="logistic"):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, D)) * np.exp(rng.normal(size=D)) + 3 * rng.normal(size=D)
    score = x @ rng.normal(size=(D, k or 1)) / 8 + rng.normal(size=(N, k or 1))
    y = {
        "labels": score.argmax(1),
        "logistic": (score[:, 0] > score[:, 0].mean()) * 1.0,
        "independent": (score > score.mean(0)) * 1.0,
        "poisson": rng.poisson(3, size=N) * 1.0,
    }[kind]
    return jnp.asarray(x), jnp.asarray(y)


def fits(l2=0.1, weight=None, intercept=True):
    options = {"weight": weight, "intercept": intercept}

    def fit(loss, kind, k=None, l2=l2, **more):
        x, y = data(k, kind)
        return lambda: jl.glm(loss, x, y, l2, **options, **more)

    return {
        "logistic with an offset": fit(
            jl.losses.logistic, "logistic", offset=np.linspace(-1, 1, N)
        ),
        "softmax": fit(jl.losses.softmax_cross_entropy, "labels", 3, outputs=3),
        "an l2 for every class": fit(
            jl.losses.softmax_cross_entropy, "labels", 3, np.array([0.1, 0.2, 0.4]), outputs=3
        ),
        "labels that share x": fit(jl.losses.logistic, "independent", 4),
        "poisson": fit(jl.losses.poisson, "poisson"),
        "huber": fit(jl.losses.huber, "poisson"),
    }


OPTIONS = {
    "plain": {},
    "no intercept": {"intercept": False},
    "weights": {"weight": np.arange(N) % 5.0},
}


PAIRS = [(name, "plain") for name in fits()] + [
    ("labels that share x", options) for options in OPTIONS
]


KEPT = ("softmax", "plain"), ("labels that share x", "weights"), ("poisson", "plain")


@pytest.mark.parametrize("case", full_but(sorted(set(PAIRS)), *KEPT), ids=str)
def test_the_row_space_has_the_same_optimum(case, either_way, x64):
    name, options = case
    inside, outside = either_way(fits(**OPTIONS[options])[name])
    assert (inside.report.status == jl.Status.CONVERGED).all()
    np.testing.assert_allclose(inside.params.w, outside.params.w, atol=1e-6)
    np.testing.assert_allclose(inside.params.b, outside.params.b, atol=1e-5)
    np.testing.assert_allclose(inside.report.objective, outside.report.objective, rtol=1e-10)
    assert (inside.report.gradient_norm < 1e-5).all()


def test_weights_under_vmap_share_one_basis(either_way, x64):
    x, y = data()
    weight = jnp.asarray(np.random.default_rng(0).integers(0, 3, size=(5, N)) * 1.0)
    weight = weight.at[:, 4].set(0)
    x = x.at[4].set(jnp.nan)  # absent in all of them

    def fit():
        each = jax.jit(jax.vmap(lambda w: jl.logistic_regression(x, y, 0.1, weight=w)))
        text = each.lower(weight).compile().as_text()
        assert f"[5,{D},{N}]" not in text
        return each(weight)

    inside, outside = either_way(fit)
    assert (inside.report.status == jl.Status.CONVERGED).all()
    np.testing.assert_allclose(inside.params.w, outside.params.w, atol=1e-6)


@pytest.mark.full
def test_different_x_under_vmap(either_way, x64):
    x, y = data()
    many = x[None] * jnp.array([1.0, 2.0])[:, None, None]
    inside, outside = either_way(
        lambda: jax.vmap(lambda x: jl.logistic_regression(x, y, 0.1))(many)
    )
    np.testing.assert_allclose(inside.params.w, outside.params.w, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "intercept"),
    [("x", True), ("x", False), ("l2", True), ("weight", True)],
)
def test_derivatives_are_those_of_all_columns(name, intercept, either_way, x64):
    x, y = data()
    given = {
        "x": x, "y": y, "l2": jnp.array(0.1), "offset": jnp.zeros(N), "weight": jnp.ones(N),
    }  # fmt: skip
    direction = jnp.asarray(np.random.default_rng(1).normal(size=D))

    def gradient():
        def value(leaf):
            values = given | {name: leaf}
            x, y, l2 = (values.pop(key) for key in ("x", "y", "l2"))
            fit = jl.glm(jl.losses.logistic, x, y, l2, intercept=intercept, **values)
            return fit.params.w @ direction + fit.params.b

        return jax.grad(value)(given[name])

    inside, outside = either_way(gradient)
    assert jnp.any(inside)
    np.testing.assert_allclose(inside, outside, atol=1e-6 * np.abs(outside).max())


@pytest.mark.full
def test_paths_and_cross_validation_are_the_same(either_way, x64):
    x, y = data()
    l2s = jnp.array([1.0, 0.1, 0.01])
    inside, outside = either_way(lambda: jl.glm_path(jl.losses.logistic, x, y, l2s))
    np.testing.assert_allclose(inside.params.w, outside.params.w, atol=1e-6)
    inside, outside = either_way(lambda: jl.glm_cv(jl.losses.logistic, x, y, l2s, 4))
    np.testing.assert_allclose(inside.scores, outside.scores, rtol=1e-6)
    np.testing.assert_allclose(inside.fit.params.w, outside.fit.params.w, atol=1e-6)


def test_a_start_outside_of_the_span_is_none_the_worse(either_way, x64):
    x, y = data()
    start = jl.Linear(jnp.ones(D), jnp.array(0.5))
    inside, outside = either_way(lambda: jl.logistic_regression(x, y, 0.1, init=start))
    np.testing.assert_allclose(inside.params.w, outside.params.w, atol=1e-6)


def test_features_that_the_basis_cannot_see_are_not_claimed(monkeypatch):
    """Next to columns of 1e6, those of 1e-3 have no digit in single precision."""
    monkeypatch.setattr(row_space, "pays", lambda *_: True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)).astype(np.float32)
    x[:, : D // 2] *= 1e6
    x[:, D // 2 :] *= 1e-3
    y = (x[:, -1] > 0) * np.float32(1)
    fit = jl.logistic_regression(x, y, 1e-9)
    wide = jl.Linear(*(np.asarray(leaf, np.float64) for leaf in fit.params))
    o = np.asarray(x, np.float64) @ wide.w + wide.b
    slope = (1 / (1 + np.exp(-o)) - y) @ x.astype(np.float64) / N + 1e-9 * wide.w
    above = slope @ slope / 2e-9
    assert fit.report.gap >= 0.1 * min(above, 1.0) or fit.report.status != jl.Status.CONVERGED


def test_a_row_that_is_no_number_is_told(monkeypatch):
    monkeypatch.setattr(row_space, "pays", lambda *_: True)
    x, y = data()
    fit = jax.jit(lambda x: jl.logistic_regression(x, y, 0.1))(x.at[3, 2].set(jnp.nan))
    assert fit.report.status == jl.Status.NONFINITE_INPUT
    assert jnp.isnan(fit.params.w).all()


def test_it_pays_for_few_examples_many_features_or_many_fits():
    assert row_space.pays(100, 7129, 1, 1)
    assert row_space.pays(300, 3000, 100, 1)
    assert not row_space.pays(500, 1500, 1, 1)
    assert row_space.pays(500, 1500, 1, 50)
    assert not row_space.pays(500, 900, 1, 50)
    assert not row_space.pays(10_000, 50, 1, 50)
