"""Models and examples over many devices: a mesh of two axes, and how arrays lie on it.

Only the arrays are to be placed: ``sgd_fit`` and ``sweep`` are called in the same way, and give
the same numbers, wherever their arrays lie. Devices with different models do not communicate;
devices with different examples exchange only sums over them, since every device draws its part
of a minibatch from its own rows. (Exact fits exchange rows, too, for their QR; ``gram.of`` under
``jax.shard_map`` with ``gram.psum`` does not. Convex fits under your own ``jit`` exchange them
once: where rows lie is seen at the call alone.)

The devices may be those of several processes, after ``jax.distributed.initialize`` in each. All of
them make the same calls; what a fit returns is there in all of them. Values that lie in other
processes cannot be looked at before a fit: what would be a ValueError is a status then, as it is
under ``jit``. A process that is lost ends the call in the others by an error of JAX.

**A plan.** Linear probes of ImageNet as DINOv2 fits them: n = 1.28 million, d = 1,024, k = 1,000
classes, 45 penalties. A value and gradient is 4 n d k = 5.2 TFLOP; with about 25 of them a penalty,
all is 5,900 TFLOP. x and its standardised columns take 5.2 GB each in float32, the outputs, their
change and their slopes 5.1 GB each. What devices exchange is the gradient, k d numbers or 4.1 MB
for each of 1,125 evaluations, twice in a ring. Computed, not measured, for H100s of 50 TFLOP/s in
float32, 400 GB/s between those of a machine, 50 GB/s beyond:

| devices | GB each | products | over the wire, each | seconds |
|--:|--:|--:|--:|--:|
| 1 | 26 | 118 s | nothing | 118 |
| 8 | 3.2 | 14.7 s | 8.1 GB, 0.02 s | 15 |
| 64 | 0.4 | 1.8 s | 9.1 GB, 0.2 s | 2 |

Beyond 64 devices the sums bind: split the classes over them, too, or penalties as models.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxlinear import checks
from jaxlinear.many import resample
from jaxlinear.types import Batch

__all__ = ["EXAMPLES", "MODELS", "mesh", "of_processes", "over_examples", "over_models"]

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


def of_processes(mesh: Mesh, batch: Batch) -> Batch:
    """A batch of the rows that every process has read, its own; they stay where they are.

    Processes with fewer rows than others fill up by rows of weight 0. The mesh has as many devices
    of every process. As ``jax.make_array_from_process_local_data``, for rows of any number. Raises
    ValueError where processes have other columns.
    """
    from jax.experimental import multihost_utils  # a tenth of a second, for those who need it

    batch = checks.stored(batch)
    parts = -(-mesh.shape[EXAMPLES] // jax.process_count())
    weighted = batch.weight is not None
    here = [len(batch.x), weighted, *np.shape(batch.x)[1:], *np.shape(batch.y)[1:]]
    told = np.asarray(multihost_utils.process_allgather(np.array(here))).reshape(-1, len(here))
    if (told[:, 2:] != here[2:]).any():
        raise ValueError(
            f"x and y have {here[2:]} columns here and {told[:, 2:].tolist()} in the processes; "
            "expected as many in all."
        )
    rows = -(-int(told[:, 0].max()) // parts) * parts
    if told[:, 1].any() or (told[:, 0] < rows).any():
        batch = resample.pad(batch, rows)
    layout = NamedSharding(mesh, PartitionSpec(EXAMPLES))
    return jax.tree.map(
        lambda rows: jax.make_array_from_process_local_data(layout, np.asarray(rows)), batch
    )


def _put(mesh: Mesh, array, axis: str):
    parts, length = mesh.shape[axis], np.shape(array)[0]
    if length % parts:
        raise ValueError(f"got {length} {axis} for {parts} devices; expected a multiple of them.")
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(axis)))
