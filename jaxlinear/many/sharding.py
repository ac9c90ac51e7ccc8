"""Models and examples over many devices: a mesh of two axes, and how arrays lie on it.

Only the arrays are to be placed: ``sgd_fit`` and ``sweep`` are called in the same way, and give
the same numbers, wherever their arrays lie. Devices with different models do not communicate;
devices with different examples exchange only sums over them, since every device draws its part
of a minibatch from its own rows.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxlinear import checks
from jaxlinear.many import resample
from jaxlinear.types import Batch

__all__ = ["EXAMPLES", "MODELS", "mesh", "over_examples", "over_models"]

MODELS, EXAMPLES = "models", "examples"


def mesh(
    *, models: int = 1, examples: int = 1, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh of ``models`` x ``examples`` devices: their product is the number of devices used."""
    devices = jax.devices() if devices is None else list(devices)
    shape = checks.count(models, "models"), checks.count(examples, "examples")
    if shape[0] * shape[1] > len(devices):
        raise ValueError(
            f"models is {models} and examples {examples}, for {shape[0] * shape[1]} devices; "
            f"expected at most the {len(devices)} that there are."
        )
    return Mesh(np.array(devices[: shape[0] * shape[1]]).reshape(shape), (MODELS, EXAMPLES))


def over_models(mesh: Mesh, hypers: PyTree) -> PyTree:
    """Hyper-parameters (models, …), split over the devices by models.

    Raises ValueError where the number of models is not a multiple of the number of devices.
    """
    return jax.tree.map(lambda leaf: _put(mesh, leaf, MODELS), hypers)


def over_examples(mesh: Mesh, batch: Batch) -> Batch:
    """A batch with an equal part of its rows on every device, padded with rows of weight 0."""
    batch = checks.stored(batch)
    parts, n = mesh.shape[EXAMPLES], len(batch.x)
    if n % parts:
        batch = resample.pad(batch, -(-n // parts) * parts)
    return jax.tree.map(lambda rows: _put(mesh, rows, EXAMPLES), batch)


def _put(mesh: Mesh, array, axis: str):
    parts, length = mesh.shape[axis], np.shape(array)[0]
    if length % parts:
        raise ValueError(f"got {length} {axis} for {parts} devices; expected a multiple of them.")
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(axis)))
