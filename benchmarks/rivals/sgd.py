"""Rivals for one question: softmax regression by minibatch SGD, shuffled in every epoch.

Each is ``fit(data, epochs, lr, size, orders=None) -> (w, b)`` in NumPy, w (k, d), b (k,), from
zero. ``orders(epoch)`` gives the order of the examples, so that all can be asked for one and the
same answer; without it a rival shuffles in its own way. scikit-learn's ``SGDClassifier`` is not
here: it takes one example at a time and fits one model against the rest per class.

All but the DataLoader are offered both forms of the images: floats, and bytes that are widened
in the minibatch, whose scale of 1/255 moves to the small arrays.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.training import train

CLASSES = 10


class Data(NamedTuple):
    """Images (n, d), raw uint8 or scaled float32, and labels (n,), where a rival wants them."""

    x: Any
    y: Any

    @property
    def scale(self) -> float:
        return 1 / 255 if "uint8" in str(self.x.dtype) else 1.0  # NumPy's, torch's and JAX's


def on_jax(data: Data) -> Data:
    """On JAX's device beforehand: no rival is timed for loading its data."""
    return Data(jax.device_put(data.x), jax.device_put(data.y))


def jaxlinear(data, epochs, lr, size, orders=None, callback=None):
    """``sgd_fit`` as it is; ``orders`` come from the same key, see ``jaxlinear_orders``."""
    fit = jl.sgd_fit(
        jl.losses.softmax_cross_entropy,
        data.x,
        data.y,
        key=jax.random.key(0),
        lr=lr,
        batch_size=size,
        epochs=epochs,
        outputs=CLASSES,
        callback=callback,
    )
    return np.asarray(fit.params.w), np.asarray(fit.params.b)


def jaxlinear_orders(n):
    """The orders of the two rivals above and below: what the others get for the proof."""
    key = jax.random.key(0)
    return lambda epoch: np.array(jl.data.permutation(jax.random.fold_in(key, epoch), n))


def jitted_step(data, epochs, lr, size, orders=None):
    """A loop in Python over ``jl.data.batches`` and one compiled step."""
    batch = jl.Batch(data.x, data.y)
    params = jl.Linear(np.zeros((CLASSES, data.x.shape[1]), np.float32), np.zeros(CLASSES, "f"))
    state = jl.sgd(lr).init(params)
    for epoch in range(epochs):
        key = jax.random.fold_in(jax.random.key(0), epoch)
        for minibatch in jl.data.batches(key, batch, size):
            params, state = _step(params, state, minibatch, lr)
    return np.asarray(params.w), np.asarray(params.b)


@jax.jit
def _step(params, state, minibatch, lr):
    update = train.step(jl.mean_loss(jl.losses.softmax_cross_entropy), jl.sgd(lr))
    return update(params, state, minibatch)[:2]


def numpy_by_hand(data, epochs, lr, size, orders=None):
    """Gradients by hand; softmax over axis 0, where NumPy's reductions are quick."""
    orders = orders or _numpy_orders(len(data.y))
    lr, scale = np.float32(lr), np.float32(data.scale)
    w = np.zeros((CLASSES, data.x.shape[1]), np.float32)
    b = np.zeros((CLASSES, 1), np.float32)
    wide = np.empty((size, w.shape[1]), np.float32)
    outputs = np.empty((CLASSES, size), np.float32)
    for epoch in range(epochs):
        order = orders(epoch)
        for start in range(0, len(order), size):
            index = order[start : start + size]
            m = len(index)
            x = data.x[index]
            if x.dtype == np.uint8:
                wide[:m] = x
                x = wide[:m]
            p = outputs[:, :m]
            np.multiply((x @ w.T).T, scale, out=p)  # x @ w.T is twice as quick as w @ x.T
            p += b
            p -= p.max(axis=0)
            np.exp(p, out=p)
            p /= p.sum(axis=0)
            p[data.y[index], np.arange(m)] -= 1
            b -= lr / m * p.sum(axis=1, keepdims=True)
            p *= lr * scale / m
            w -= p @ x
    return w, b[:, 0]


def _numpy_orders(n):
    generator = np.random.default_rng(0)
    return lambda epoch: generator.permutation(n)


def numpy_with(threads, *arguments):
    """``numpy_by_hand`` on so many threads of BLAS: more are not always quicker."""
    with _threads_of_blas().limit(limits=threads):
        return numpy_by_hand(*arguments)


@functools.cache
def _threads_of_blas():
    from threadpoolctl import ThreadpoolController  # finding the libraries takes a while: once

    return ThreadpoolController()
