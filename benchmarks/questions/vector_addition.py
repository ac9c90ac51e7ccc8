"""How long does it take to add two vectors? The first lesson in vectorization (d2l 3.1.2)."""

import functools

import jax
import numpy as np

from benchmarks import machine, tasks
from benchmarks.harness import Rival
from benchmarks.rivals.libraries import on_jax, on_torch, rivals
from benchmarks.tasks import Task


def addition(directory, fast: bool) -> Task:
    n = 1_000 if fast else 1_000_000
    a, b = np.random.default_rng(0).standard_normal((2, n), dtype=np.float32)
    on_device, add = on_jax(a, b), jax.jit(lambda a, b: a + b)
    part = 0.01 if n > 10_000 else 1
    return Task(
        f"Adding two vectors of {n:,} numbers",
        "sum",
        [
            Rival("JAX, `jit(a + b)`", lambda: add(*on_device)),
            Rival("JAX, one operation at a time", lambda: on_device[0] + on_device[1]),
            *rivals("NumPy, `a + b`", lambda: a + b, threads=[1]),
            *rivals("torch, `a + b`", _torch(a, b), needs=["torch"]),
            Rival(
                "Python, a loop over the numbers",
                lambda: _loop(a, b, int(part * n)),
                part,
                tasks.said_of(part, n, "numbers"),
            ),
            Rival(
                "Python, a loop over JAX scalars",
                lambda: _loop(*on_device, min(n, 500)),
                min(n, 500) / n,
                tasks.said_of(min(n, 500) / n, n, "numbers"),
            ),
        ],
        tasks.near(a + b, 1e-6),
        {"n": n},
        "largest error",
        dtype="float32",
        cost=lambda: machine.cost(add, *on_device),
    )


def _loop(a, b, n: int) -> np.ndarray:
    total = np.zeros(n, np.float32)
    for i in range(n):
        total[i] = a[i] + b[i]
    return total


def _torch(*arrays):
    tensors = functools.cache(lambda: on_torch(*arrays))

    def run():
        a, b = tensors()
        return (a + b).cpu().numpy()

    return run


TASKS = (addition,)
answer = functools.partial(tasks.answer, "vector_addition", TASKS)
