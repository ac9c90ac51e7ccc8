"""The update rule: optax's protocol, optax's bits, and NumPy's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxlinear as jl

LOSS = jl.losses.softmax_cross_entropy


def descend(optimizer, steps=20):
    """Full-batch steps on a fixed problem, compiled as a user would."""
    batch = jl.data.synthetic_classification(jax.random.key(0), 40, features=5)
    step = jax.jit(jl.train.step(jl.mean_loss(LOSS), optimizer))
    params = jl.zeros(5, 3)
    state = optimizer.init(params)
    for _ in range(steps):
        params, state, _ = step(params, state, batch)
    return params


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_same_bits_as_optax(momentum):
    assert_same_bits(descend(jl.sgd(0.1, momentum)), descend(optax.sgd(0.1, momentum)))


def test_no_momentum_has_the_bits_of_optax_without_momentum():
    assert_same_bits(descend(jl.sgd(0.1)), descend(optax.sgd(0.1)))


def test_is_an_optax_transformation():
    assert_same_bits(
        descend(optax.chain(optax.clip(0.01), jl.sgd(0.1))),
        descend(optax.chain(optax.clip(0.01), optax.sgd(0.1))),
    )


def test_against_numpy():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(5, 3))
    optimizer = jl.sgd(0.1, 0.5)
    p = jnp.zeros(3)
    state = optimizer.init(p)
    expected, velocity = np.zeros(3), np.zeros(3)
    for g in gradients:
        updates, state = optimizer.update(jnp.asarray(g, jnp.float32), state)
        p = p + updates
        velocity = 0.5 * velocity + g
        expected = expected - 0.1 * velocity
    np.testing.assert_allclose(p, expected, rtol=1e-5)


def test_a_sweep_over_the_rates_is_one_vmap():
    def final(lr, momentum):
        return descend(jl.sgd(lr, momentum), steps=5)

    lrs, momenta = jnp.array([0.01, 0.1]), jnp.array([0.0, 0.9])
    together = jax.vmap(final)(lrs, momenta)
    for i in range(2):
        alone = final(lrs[i], momenta[i])
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-7),
            together,
            alone,
        )
