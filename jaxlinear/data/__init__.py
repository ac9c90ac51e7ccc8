"""Data sets, synthetic data and minibatches: everything here ends in a ``Batch`` or ``Dataset``."""

from jaxlinear.data.batching import batches
from jaxlinear.data.fashion.dataset import fashion_mnist
from jaxlinear.data.fashion.sample import fashion_mnist_sample
from jaxlinear.data.files import load
from jaxlinear.data.sources import stream
from jaxlinear.data.synthetic import synthetic_classification, synthetic_regression
from jaxlinear.rows.order import permutation

__all__ = [
    "batches",
    "fashion_mnist",
    "fashion_mnist_sample",
    "load",
    "permutation",
    "stream",
    "synthetic_classification",
    "synthetic_regression",
]
