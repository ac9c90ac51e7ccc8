"""Columns are centred and scaled by their mean and standard deviation, whatever their units."""

import jax
import numpy as np
import pytest

from jaxlinear.convex import columns
from jaxlinear.types import Batch

_N = 2000


def _rare(rng, size: float):
    """Zeros, but for two rows that no sample of every so many rows holds."""
    x = np.zeros(_N)
    x[[501, 1501]] = size * rng.normal(size=2)
    return x


COLUMNS = {
    "usual": lambda rng: rng.normal(size=_N),
    "large mean": lambda rng: 2000 + rng.normal(size=_N),
    "huge": lambda rng: 1e30 * rng.normal(size=_N),
    "tiny": lambda rng: 1e-30 * rng.normal(size=_N),
    "rare and huge": lambda rng: _rare(rng, 1e30),
    "rare and tiny": lambda rng: _rare(rng, 1e-30),
    "usual but for one": lambda rng: np.where(np.arange(_N) == 777, 1e25, rng.normal(size=_N)),
}


@pytest.mark.parametrize("others", [0, 60], ids=["few numbers", "many"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_center_and_scale_are_mean_and_standard_deviation(name, weighted, others):
    rng = np.random.default_rng(0)
    x = np.stack([COLUMNS[name](rng), *rng.normal(size=(others, _N))], axis=1).astype("f4")
    weight = rng.uniform(0.5, 2, _N) if weighted else np.ones(_N)
    units = jax.jit(lambda x, weight: columns.standardised(Batch(x, x[:, 0], weight), 0.1, True))(
        x, weight.astype("f4") if weighted else None
    ).units

    exact, share = x.astype(float), weight / weight.sum()
    mean = share @ exact
    spread = np.sqrt(share @ (exact - mean) ** 2)
    scale = np.maximum(spread, 1e-9 * np.sqrt(np.float32(0.1)))
    np.testing.assert_allclose(units.scale, scale, rtol=2e-4)
    assert np.all(np.abs(units.center - mean) <= 1e-4 * spread + 1e-6 * np.abs(mean))


def test_a_constant_column_has_its_constant_and_scale_1():
    x = np.random.default_rng(0).normal(size=(_N, 60)).astype("f4")
    x[:, 7], x[:, 8] = 3.7, 0
    units = columns.standardised(Batch(x, x[:, 0]), 0.1, True).units
    assert units.center[7] == np.float32(3.7) and units.center[8] == 0
    assert units.scale[7] == units.scale[8] == 1
