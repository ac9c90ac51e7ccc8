"""Products, by parts or not, against NumPy's in float64."""

import jax
import numpy as np
import pytest

from jaxlinear.linalg import products

_D = 1100  # columns, of which 1,000 rows are long


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize(
    "shape", [(960, _D), (997, _D), (998, _D), (60_000, 20)], ids=lambda shape: f"{shape}"
)
def test_weighted_rows_are_the_sum(shape, k):
    rng = np.random.default_rng(0)
    weights, rows = rng.normal(size=(shape[0], k)), rng.normal(size=shape)
    found = jax.jit(products.weighted_rows)(weights.astype("f4"), rows.astype("f4"))
    np.testing.assert_allclose(found, weights.T @ rows, rtol=1e-4, atol=1e-3)


def test_weighted_rows_of_many_models_share_the_rows():
    rng = np.random.default_rng(0)
    weights, rows = rng.normal(size=(3, 1000, 1)), rng.normal(size=(1000, _D))
    of_all = jax.jit(jax.vmap(products.weighted_rows, (0, None)))
    np.testing.assert_allclose(
        of_all(weights.astype("f4"), rows.astype("f4")),
        weights.transpose(0, 2, 1) @ rows,
        rtol=1e-4,
        atol=1e-3,
    )
