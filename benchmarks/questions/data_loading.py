"""How long does an epoch of minibatches take, in a fresh order, with nothing done to them?

60,000 byte images, 256 at a time. Every rival gives the sum of all bytes that it has seen, so
that none can leave an image out, and none is free to skip the reading.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxlinear as jl
from benchmarks import tasks
from benchmarks.harness import Rival
from benchmarks.rivals.libraries import on_jax, on_torch, rivals
from benchmarks.tasks import Task, shape_of

SIZE = 256


def minibatches(directory, fast: bool) -> Task:
    n, d = (1_000, 16) if fast else (60_000, 784)
    x = np.random.default_rng(0).integers(0, 256, (n, d), np.uint8)
    y = np.arange(n, dtype=np.int32)
    batch, key = jl.Batch(*on_jax(x, y)), jax.random.key(0)
    total = int(x.sum(dtype=np.int64))

    def check(answer):
        seen = int(np.asarray(answer, np.uint32)) if np.ndim(answer) == 0 else -1
        if seen != total % 2**32:
            raise ValueError(f"saw bytes of sum {seen}, expected {total % 2**32}")
        return 1.0

    return Task(
        f"An epoch of minibatches of {SIZE} from {shape_of(x)} bytes",
        "epoch",
        [
            Rival("jaxlinear, gathered in a compiled scan", lambda: _scanned(key, batch)),
            Rival("jaxlinear, loop over `data.batches`", lambda: _iterated(key, batch)),
            *rivals("NumPy, indexing", functools.partial(_numpy, x), threads=[1]),
            *rivals("torch, `index_select`", _torch(x, y, False), needs=["torch"]),
            *rivals("torch, `DataLoader(TensorDataset)`", _torch(x, y, True), needs=["torch"]),
        ],
        check,
        {"shape": x.shape, "batch_size": SIZE},
        "part seen",
        cost=lambda: {"flops": 0.0, "bytes": 2.0 * x.nbytes},
        form="",
    )


@jax.jit
def _scanned(key, batch):
    def visit(total, part):
        return total + jnp.sum(part.x, dtype=jnp.uint32), jnp.float32(0)

    order = jl.data.permutation(key, len(batch.x))
    return jl.train.scan_batches(visit, jnp.uint32(0), batch, order, SIZE)[0]


_add = jax.jit(lambda total, x: total + jnp.sum(x, dtype=jnp.uint32))


def _iterated(key, batch):
    total = jnp.uint32(0)
    for part in jl.data.batches(key, batch, SIZE):
        total = _add(total, part.x)
    return total


def _numpy(x):
    order, total = np.random.default_rng(0).permutation(len(x)), 0
    for start in range(0, len(x), SIZE):
        total += int(x[order[start : start + SIZE]].sum(dtype=np.uint32))
    return np.uint32(total % 2**32)


def _torch(x, y, loader: bool):
    tensors = functools.cache(lambda: on_torch(x, y))

    def run():
        import torch

        x, y = tensors()
        if loader:
            data = torch.utils.data.TensorDataset(x, y)
            parts = (rows for rows, _ in torch.utils.data.DataLoader(data, SIZE, shuffle=True))
        else:
            order = torch.randperm(len(x), device=x.device).split(SIZE)
            parts = (x.index_select(0, index) for index in order)
        total = sum(int(rows.sum(dtype=torch.int64)) for rows in parts)
        return np.uint32(total % 2**32)

    return run


TASKS = (minibatches,)
answer = functools.partial(tasks.answer, "data_loading", TASKS)
