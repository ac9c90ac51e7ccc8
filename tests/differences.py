"""Derivatives against differences, of both orders, in two compilations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def assert_derivatives(function, point, *, order=2, tolerance=1e-5, seed=5):
    """Those of Σ sin f along a random direction: the gradient in reverse mode, and its change.

    The second derivative is taken forward over reverse, so that both modes are met.
    """
    rng = np.random.default_rng(seed)
    point = tuple(np.asarray(part, float) for part in point)
    direction = tuple(rng.normal(size=part.shape) / 10 for part in point)

    @jax.jit
    def total(*point):
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(function(*point)))

    def along(t):
        return float(total(*(part + t * way for part, way in zip(point, direction, strict=True))))

    def dot(a):
        return sum(float(np.vdot(leaf, way)) for leaf, way in zip(a, direction, strict=True))

    slope = jax.grad(total, argnums=tuple(range(len(point))))
    if order == 1:
        gradient = jax.jit(slope)(*point)
    else:
        gradient, change = jax.jit(lambda p, v: jax.jvp(slope, p, v))(point, direction)
        step = 1e-4
        second = (along(step) - 2 * along(0.0) + along(-step)) / step**2
        assert dot(change) == pytest.approx(second, rel=100 * tolerance, abs=1e-5)
    step = 1e-5
    first = (along(step) - along(-step)) / (2 * step)
    assert dot(gradient) == pytest.approx(first, rel=tolerance, abs=1e-8)
