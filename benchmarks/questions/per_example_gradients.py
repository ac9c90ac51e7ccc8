"""How long do the gradients of all examples take, each its own? For clipping, and attribution."""

import functools

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import curves, data, machine, tasks
from benchmarks.harness import Rival
from benchmarks.rivals.gradients import ALL, ONE, by_hand
from benchmarks.rivals.libraries import on_jax, on_torch, rivals
from benchmarks.tasks import Task, shape_of


def answer(*, directory=None, fast=False, rounds=7, say=print) -> dict:
    result = tasks.answer(
        "per_example_gradients", TASKS, directory=directory, fast=fast, rounds=rounds, say=say
    )
    sizes = (1, 8) if fast else (1, 4, 16, 64, 256, 1024, 4096)
    say("speed by batch size, width and number of classes")
    result["curves"] = [
        curves.measure("Gradients per example, 64 features", "examples", "pass", sizes,
                       lambda n: both_ways(*data.problem(n, 64, 10)), fast),
        curves.measure("Gradients of 64 examples", "features", "pass", sizes,
                       lambda d: both_ways(*data.problem(64, d, 10)), fast),
        curves.measure("Gradients of 64 examples, 64 features", "classes", "pass", sizes[1:],
                       lambda k: both_ways(*data.problem(64, 64, k)), fast),
    ]  # fmt: skip
    return result


def both_ways(x, y, w, b) -> dict:
    """The loop, on at most 64 examples, and ``vmap``: what to run and of how much."""
    rows, labels, *params = on_jax(x, y, w, b)
    params, few = jl.Linear(*params), min(len(x), 64)
    pairs = list(zip(x[:few], y[:few], strict=True))
    return {
        "loop over jit(grad)": (lambda: [ONE(params, *pair) for pair in pairs], few / len(x)),
        "jit(vmap(grad))": (lambda: ALL(params, rows, labels), 1),
    }


def gradients(directory, fast: bool) -> Task:
    x, y, w, b = data.problem(*((40, 8, 3) if fast else (4096, 64, 10)))
    rows, labels, *params = on_jax(x, y, w, b)
    params, few = jl.Linear(*params), min(len(x), 200)
    return Task(
        f"Gradients of {shape_of(x)} examples, {len(w)} classes, each its own",
        "pass",
        [
            Rival("jaxlinear, `jit(vmap(grad))`", lambda: ALL(params, rows, labels)),
            Rival(
                "JAX, loop over `jit(grad)`",
                lambda: jax.tree.map(
                    lambda *leaves: np.stack(leaves), *[ONE(params, x[i], y[i]) for i in range(few)]
                ),
                few / len(x),
                tasks.said_of(few / len(x), len(x), "examples"),
            ),
            *rivals("NumPy, by hand", lambda: by_hand(x, y, w, b)),
            *rivals("torch, `func.vmap(func.grad)`", _torch(x, y, w, b), needs=["torch"]),
        ],
        tasks.near(by_hand(*(a.astype(np.float64) for a in (x, y, w, b))), 1e-4),
        {"shape": x.shape, "classes": len(w)},
        "largest error",
        dtype="float32",
        cost=lambda: machine.cost(ALL, params, rows, labels),
    )  # fmt: skip


def _torch(x, y, w, b):
    tensors = functools.cache(lambda: on_torch(x, y.astype(np.int64), w, b))

    def run():
        import torch

        def loss(w, b, x, y):
            o = torch.nn.functional.linear(x, w, b)
            return torch.nn.functional.cross_entropy(o[None], y[None])

        x, y, w, b = tensors()
        each = torch.func.vmap(torch.func.grad(loss, (0, 1)), (None, None, 0, 0))
        return jl.Linear(*(leaf.cpu().numpy() for leaf in each(w, b, x, y)))

    return run


TASKS = (gradients,)
