"""How long is one step of minibatch SGD: 256 examples of 784 features, 10 classes?"""

import functools
import shutil

import jax
import numpy as np
import optax

import jaxlinear as jl
from benchmarks import data, machine, tasks
from benchmarks.harness import Rival
from benchmarks.rivals import gradients
from benchmarks.rivals.libraries import on_jax, on_torch, rivals
from benchmarks.tasks import Task, shape_of

LR, STEPS = 0.1, 100


def sgd_step(directory, fast: bool) -> Task:
    """All take the same steps from the same start, on one minibatch: work is counted in steps."""
    n, d, k, steps = (16, 5, 3, 3) if fast else (256, 784, 10, STEPS)
    x, y, *_ = data.problem(n, d, k)
    batch = jl.Batch(*on_jax(x, y))
    zero = jl.Linear(np.zeros((k, d), np.float32), np.zeros(k, np.float32))
    few, by_hand, autograd = 2, functools.partial(_numpy, x, y), _torch(x, y, k)
    compiled = _torch_compiled(x, y, k)
    with_jl, with_optax = (_looped(make(LR), zero, batch) for make in (jl.sgd, optax.sgd))
    scanned = jax.jit(functools.partial(_scanned, jl.sgd(LR)), static_argnums=2)
    return Task(
        f"One step of SGD, {shape_of(x)}, {k} classes",
        "step",
        [
            Rival(
                "jaxlinear, `train.step` in a compiled scan",
                lambda: scanned(zero, batch, steps), steps, proof=lambda: scanned(zero, batch, 3),
            ),
            Rival("JAX, loop over `jit(train.step)`", lambda: with_jl(steps), steps,
                  proof=lambda: with_jl(3)),
            Rival("JAX, the same with `optax.sgd`", lambda: with_optax(steps), steps,
                  proof=lambda: with_optax(3)),
            Rival("JAX, loop over the examples, `jit(grad)` of one",
                  lambda: _by_example(x, y, zero, few), few, proof=lambda: _by_example(x, y, zero)),
            *rivals("NumPy, gradient by hand", lambda: by_hand(steps), work=steps,
                    proof=lambda: by_hand(3)),
            *rivals("torch, autograd", lambda: autograd(steps), work=steps,
                    proof=lambda: autograd(3), needs=["torch"]),
            *([] if fast else rivals(  # a compiler of C++ takes half a minute
                "torch, gradient by hand, `torch.compile`", lambda: compiled(steps),
                work=steps, proof=lambda: compiled(3), needs=["torch"])),
        ],
        _three_steps(x, y, k, steps, few),
        {"shape": x.shape, "classes": k, "steps": steps},
        "largest error",
        dtype="float32",
        cost=lambda: machine.cost(jax.jit(functools.partial(_update, jl.sgd(LR))),
                                  zero, jl.sgd(LR).init(zero), batch),
    )  # fmt: skip


def _update(optimizer, params, state, batch):
    objective = jl.mean_loss(jl.losses.softmax_cross_entropy)
    return jl.train.step(objective, optimizer)(params, state, batch)[:2]


def _looped(optimizer, params, batch):
    update = jax.jit(functools.partial(_update, optimizer))

    def run(steps):
        carry = params, optimizer.init(params)
        for _ in range(steps):
            carry = update(*carry, batch)
        return carry[0]

    return run


def _scanned(optimizer, params, batch, steps):
    carry = params, optimizer.init(params)
    return jax.lax.fori_loop(0, steps, lambda _, c: _update(optimizer, *c, batch), carry)[0]


def _by_example(x, y, params, steps=3):
    for _ in range(steps):
        each = [gradients.ONE(params, *pair) for pair in zip(x, y, strict=True)]
        mean = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *each)
        params = jax.tree.map(lambda p, g: (p - LR * g).astype(np.float32), params, mean)
    return params


def _numpy(x, y, steps, dtype=np.float32):
    k = int(y.max()) + 1
    w, b, lr = np.zeros((k, x.shape[1]), dtype), np.zeros(k, dtype), dtype(LR / len(x))
    for _ in range(steps):
        p = gradients.slopes(x, y, w, b)
        w -= lr * (p.T @ x)
        b -= lr * p.sum(axis=0)
    return jl.Linear(w, b)


def _torch(x, y, k):
    tensors = functools.cache(lambda: on_torch(x, y.astype(np.int64)))

    def run(steps):
        import torch

        x, y = tensors()
        layer = torch.nn.Linear(x.shape[1], k, device=x.device)
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
        optimizer = torch.optim.SGD(layer.parameters(), lr=LR)
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x), y).backward()
            optimizer.step()
        return jl.Linear(*(p.detach().cpu().numpy() for p in layer.parameters()))

    return run


def _torch_compiled(x, y, k):
    tensors = functools.cache(lambda: on_torch(x, y.astype(np.int64)))

    @functools.cache
    def compiled_step():
        import torch

        if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
            raise ImportError("torch.compile needs a C++ compiler")

        @torch.compile
        def step(w, b, x, y):
            p = torch.addmm(b, x, w.T).softmax(1) - torch.nn.functional.one_hot(y, k)
            return w - LR / len(x) * (p.T @ x), b - LR / len(x) * p.sum(0)

        return step

    def run(steps):
        import torch

        (x, y), step = tensors(), compiled_step()
        params = torch.zeros(k, x.shape[1], device=x.device), torch.zeros(k, device=x.device)
        for _ in range(steps):
            params = step(*params, x, y)
        return jl.Linear(*(p.cpu().numpy() for p in params))

    return run


def _three_steps(x, y, k, *steps):
    """Against float64, for as many steps as were taken: 3 in the proof, more when timed."""
    wide = x.astype(np.float64)
    known = [_numpy(wide, y, number, np.float64) for number in {3, *steps}]

    def check(params):
        return min(tasks.largest_error(params, expected) for expected in known)

    return tasks.at_most(1e-3, check)


TASKS = (sgd_step,)
answer = functools.partial(tasks.answer, "sgd_step", TASKS)
