"""The data of several questions, made by a seed or read."""

import functools

import numpy as np

import jaxlinear as jl
from benchmarks.rivals.sgd import Data


def load(directory=None, fast=False) -> tuple[Data, Data]:
    """The training images as bytes and as float32 in [0, 1], in NumPy."""
    loaded = jl.data.fashion_mnist_sample() if fast else jl.data.fashion_mnist(directory)
    x, y = np.asarray(loaded.train.x), np.asarray(loaded.train.y)
    return Data(x, y), Data(x / np.float32(255), y)


def images(directory, fast: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST in [0, 1] and one-hot targets; every eighth pixel of the sample if fast."""
    x, y = load(directory, fast)[1]
    return np.ascontiguousarray(x[:, :: 8 if fast else 1]), np.eye(10, dtype=np.float32)[y]


def tall(fast: bool) -> tuple[np.ndarray, np.ndarray]:
    """Columns with means, and one target with noise."""
    n, d = (20_000, 20) if fast else (1_000_000, 100)
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((n, d))
    x += np.linspace(-1, 1, d, dtype=np.float32)
    return x, x @ draw(d) + draw(n) + 3


def problems(number: int, n: int = 100, d: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """x (p, n, d) with means, y (p, n)."""
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((number, n, d)) + np.linspace(-1, 1, d, dtype=np.float32)
    return x, np.einsum("pnd,pd->pn", x, draw((number, d))) + draw((number, n))


def targets_of_varying_noise(n: int, d: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns, signals of rank 20, and noise from a tenth to ten times of each.

    So the best l2 of the targets spread over the grid.
    """
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((n, d // 5)) @ draw((d // 5, d)) / np.float32(d // 5) ** 0.5 + draw((n, d)) + 1
    signal = x @ (draw((d, 20)) @ draw((20, targets)) / np.float32(20 * d) ** 0.5)
    return x, signal + draw((n, targets)) * np.logspace(-1, 1, targets, dtype=np.float32)


def problem(n: int, d: int, k: int):
    rng = np.random.default_rng(0)
    draw = functools.partial(rng.standard_normal, dtype=np.float32)
    return draw((n, d)), rng.integers(0, k, n, np.int32), draw((k, d)), draw(k)
