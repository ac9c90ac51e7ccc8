"""The model: one example, batches, probabilities, labels, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import jaxlinear as jl

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 4)).astype(np.float32)
PARAMS = {
    (): jl.Linear(jnp.asarray(rng.normal(size=4), jnp.float32), jnp.float32(0.5)),
    (3,): jl.Linear(jnp.asarray(rng.normal(size=(3, 4)), jnp.float32), jnp.arange(3.0)),
}
both = pytest.mark.parametrize("params", PARAMS.values(), ids=["one", "three"])


def test_zeros_and_normal(key):
    assert jl.zeros(4).w.shape == (4,) and jl.zeros(4).b.shape == ()
    params = jl.normal(2000, 10, key=key)
    assert params.w.shape == (10, 2000) and params.b.shape == (10,)
    assert float(params.w.std()) == pytest.approx(0.01, rel=0.02)
    assert abs(float(params.w.mean())) < 3e-4
    assert not params.b.any()
    assert jl.normal(4, 2, key=key, sigma=1.0, dtype=jnp.bfloat16).w.dtype == jnp.bfloat16


@both
def test_predict_is_affine_of_every_row(params):
    expected = oracles.affine(*params, X)
    np.testing.assert_allclose(jl.predict(params, X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jl.affine(params, X[0]), expected[0], rtol=1e-5, atol=1e-6)


@both
def test_predict_by_parts_is_predict_of_the_whole(params):
    parts = jnp.concatenate([jl.predict(params, X[:2]), jl.predict(params, X[2:])])
    np.testing.assert_allclose(parts, jl.predict(params, X), rtol=1e-6)


def test_probabilities():
    p = jl.probabilities(PARAMS[(3,)], X)
    np.testing.assert_allclose(p, oracles.softmax(oracles.affine(*PARAMS[(3,)], X)), rtol=1e-5)
    logits = oracles.affine(*PARAMS[()], X)
    np.testing.assert_allclose(
        jl.probabilities(PARAMS[()], X), 1 / (1 + np.exp(-logits)), rtol=1e-5
    )
    independent = jl.probabilities(PARAMS[(3,)], X, independent=True)
    np.testing.assert_allclose(
        independent, 1 / (1 + np.exp(-oracles.affine(*PARAMS[(3,)], X))), rtol=1e-5
    )


def test_labels_agree_with_probabilities():
    p = jl.probabilities(PARAMS[(3,)], X)
    np.testing.assert_array_equal(jl.labels(PARAMS[(3,)], X), p.argmax(1))
    p = jl.probabilities(PARAMS[()], X)
    np.testing.assert_array_equal(jl.labels(PARAMS[()], X), p > 0.5)


def test_a_stack_of_models_is_the_same_type():
    stack = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), PARAMS[(3,)])
    o = jax.vmap(jl.predict, (0, None))(stack, X)
    np.testing.assert_allclose(o[1], 2 * o[0], rtol=1e-5)


def test_bytes_go_in_as_they_are():
    image = rng.integers(0, 256, (5, 4)).astype(np.uint8)
    got = jl.predict(PARAMS[(3,)], image)
    np.testing.assert_allclose(got, oracles.affine(*PARAMS[(3,)], image / 255), rtol=1e-5)


def test_refusals():
    params = PARAMS[(3,)]
    with pytest.raises(ValueError, match=r"5 features.*expect 4"):
        jl.predict(params, np.zeros((2, 5), np.float32))
    with pytest.raises(ValueError, match=r"shape \(4,\).*x\[None, :\]"):
        jl.predict(params, np.zeros(4, np.float32))
    bad = X.copy()
    bad[2, 1] = np.nan
    for function in (jl.predict, jl.probabilities, jl.labels):
        with pytest.raises(ValueError, match=r"x\[2, 1\] is nan"):
            function(params, bad)


@both
def test_under_jit_a_bad_row_is_no_label(params):
    bad = X.copy()
    bad[2, 1] = np.nan
    got = jax.jit(jl.labels)(params, bad)
    assert got[2] == -1
    expected = np.delete(jl.labels(params, X), 2)
    np.testing.assert_array_equal(np.delete(got, 2), expected)


def test_one_column_of_outputs_is_one_logit():
    """Never a softmax or an argmax over one column: (1, d) is the model (d,)."""
    one, column = PARAMS[()], jax.tree.map(lambda a: a[None], PARAMS[()])
    assert jl.labels(column, X).shape == (6,) and 0 < jl.labels(column, X).sum() < 6
    np.testing.assert_array_equal(jl.labels(column, X), jl.labels(one, X))
    np.testing.assert_allclose(
        jl.probabilities(column, X), jl.probabilities(one, X)[:, None], rtol=1e-6
    )


@both
def test_independent_labels_are_decided_one_by_one(params):
    got = jl.labels(params, X, independent=True)
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, jl.predict(params, X) > 0)
    bad = X.copy()
    bad[2, 1] = np.inf
    got = jax.jit(lambda x: jl.labels(params, x, independent=True))(bad)
    assert (got[2] == -1).all() and (np.delete(got, 2, axis=0) >= 0).all()


def test_a_class_that_is_ruled_out_is_no_label():
    params = PARAMS[(3,)]._replace(b=jnp.array([0.0, -jnp.inf, 1.0]))
    p, o = jl.probabilities(params, X), oracles.affine(*params, X)
    np.testing.assert_allclose(p, oracles.softmax(o), rtol=1e-5)
    np.testing.assert_array_equal(jl.labels(params, X), o.argmax(axis=1))
    nothing = params._replace(b=jnp.full(3, -jnp.inf))
    assert (jl.labels(nothing, X) == -1).all()


def test_whole_numbers_and_lists_have_labels():
    np.testing.assert_array_equal(
        jl.labels(PARAMS[()], [[1, 2, 3, 4]]), jl.predict(PARAMS[()], [[1, 2, 3, 4]]) > 0
    )
