"""Minibatch stochastic gradient descent from scratch, with optax's (init, update) protocol."""

import jax
import jax.numpy as jnp
import optax

from jaxlinear.types import Scalar


def sgd(lr: Scalar, momentum: Scalar = 0.0) -> optax.GradientTransformation:
    """v ← g + momentum v, and the update −lr v (d2l 3.4; Polyak, 1964).

    Interchangeable with ``optax.sgd(lr, momentum)``, to the last bit on CPU; torch's
    ``SGD(lr, momentum)``. ``lr`` and ``momentum`` may be traced: a sweep compiles nothing new.

    >>> optimizer = sgd(0.1, momentum=0.9)
    >>> updates, state = optimizer.update(jnp.ones(2), optimizer.init(jnp.zeros(2)))
    >>> print(updates)
    [-0.1 -0.1]
    """

    def init(params):
        return jax.tree.map(jnp.zeros_like, params)

    def update(gradient, velocity, params=None):
        del params
        velocity = jax.tree.map(lambda g, v: g + momentum * v, gradient, velocity)
        return jax.tree.map(lambda v: -lr * v, velocity), velocity

    return optax.GradientTransformation(init, update)
