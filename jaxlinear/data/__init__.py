"""Data sets, synthetic data and minibatches: everything here ends in a ``Batch`` or ``Dataset``."""

from jaxlinear.data.batching import batches, permutation
from jaxlinear.data.fashion_mnist import fashion_mnist
from jaxlinear.data.fashion_mnist_sample import fashion_mnist_sample
from jaxlinear.data.files import load
from jaxlinear.data.synthetic import synthetic_classification, synthetic_regression

__all__ = [
    "batches",
    "fashion_mnist",
    "fashion_mnist_sample",
    "load",
    "permutation",
    "synthetic_classification",
    "synthetic_regression",
]
