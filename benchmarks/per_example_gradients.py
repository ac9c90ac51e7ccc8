"""How long do the gradients of all examples take, each its own? For clipping, and attribution."""

import functools

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import curves, machine, tasks
from benchmarks.harness import Rival
from benchmarks.libraries import on_jax, on_torch, rivals
from benchmarks.tasks import Task, shape_of


def answer(*, directory=None, fast=False, rounds=7, say=print) -> dict:
    result = tasks.answer(
        "per_example_gradients", TASKS, directory=directory, fast=fast, rounds=rounds, say=say
    )
    sizes = (1, 8) if fast else (1, 4, 16, 64, 256, 1024, 4096)
    say("speed by batch size, width and number of classes")
    result["curves"] = [
        curves.measure("Gradients per example, 64 features", "examples", "pass", sizes,
                       lambda n: both_ways(*problem(n, 64, 10)), fast),
        curves.measure("Gradients of 64 examples", "features", "pass", sizes,
                       lambda d: both_ways(*problem(64, d, 10)), fast),
        curves.measure("Gradients of 64 examples, 64 features", "classes", "pass", sizes[1:],
                       lambda k: both_ways(*problem(64, 64, k)), fast),
    ]  # fmt: skip
    return result


def one(params: jl.Linear, x, y) -> jl.Linear:
    """The gradient of softmax cross-entropy at one example."""
    return jax.grad(lambda p: jl.losses.softmax_cross_entropy(jl.affine(p, x), y))(params)


ALL = jax.jit(jax.vmap(one, (None, 0, 0)))
ONE = jax.jit(one)


def problem(n: int, d: int, k: int):
    rng = np.random.default_rng(0)
    draw = functools.partial(rng.standard_normal, dtype=np.float32)
    return draw((n, d)), rng.integers(0, k, n, np.int32), draw((k, d)), draw(k)


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
    x, y, w, b = problem(*((40, 8, 3) if fast else (4096, 64, 10)))
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


def by_hand(x, y, w, b) -> jl.Linear:
    """The slopes, times x."""
    p = slopes(x, y, w, b)
    return jl.Linear(p[:, :, None] * x[:, None, :], p)


def slopes(x, y, w, b) -> np.ndarray:
    """softmax(o) − onehot(y), in NumPy."""
    o = x @ w.T + b
    p = np.exp(o - o.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y.astype(int)] -= 1
    return p


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
