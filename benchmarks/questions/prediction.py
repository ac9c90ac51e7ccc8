"""How long does it take to predict? o = W x + b for every row of x."""

import functools

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import machine, tasks
from benchmarks.harness import Rival
from benchmarks.rivals.libraries import on_jax, on_torch, rivals
from benchmarks.tasks import Task, shape_of


def prediction(directory, fast: bool) -> Task:
    n, d, k = (100, 20, 3) if fast else (10_000, 784, 10)
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x, w, b = draw((n, d)), draw((k, d)), draw(k)
    rows, *params = on_jax(x, w, b)
    params = jl.Linear(*params)
    all_rows = jax.jit(jax.vmap(jl.affine, (None, 0)))
    library, one = jax.jit(jl.predict), jax.jit(jl.affine)
    few = min(n, 200)
    return Task(
        f"Predicting {k} outputs for {shape_of(x)}",
        "prediction",
        [
            Rival("jaxlinear, `jit(predict)`", lambda: library(params, rows)),
            Rival("jaxlinear, `predict`, which looks for NaN", lambda: jl.predict(params, rows)),
            Rival("JAX, `jit(vmap(affine))`", lambda: all_rows(params, rows)),
            Rival(
                "JAX, loop over `jit(affine)`",
                lambda: np.stack([one(params, x[i]) for i in range(few)]),
                few / n,
                tasks.said_of(few / n, n, "rows"),
            ),
            *rivals("NumPy, `x @ w.T + b`", lambda: x @ w.T + b),
            *rivals("NumPy, loop over the rows", lambda: np.stack([w @ r + b for r in x])),
            *rivals("torch, `nn.functional.linear`", _torch(x, w, b), needs=["torch"]),
        ],
        tasks.near(x.astype(np.float64) @ w.T + b, 1e-5),
        {"shape": x.shape, "outputs": k},
        "largest error",
        dtype="float32",
        cost=lambda: machine.cost(library, params, rows),
    )  # fmt: skip


def _torch(*arrays):
    tensors = functools.cache(lambda: on_torch(*arrays))

    def run():
        import torch

        return torch.nn.functional.linear(*tensors()).cpu().numpy()

    return run


TASKS = (prediction,)
answer = functools.partial(tasks.answer, "prediction", TASKS)
