"""A tenth of Fashion-MNIST that comes with the package: no network, no preparation.

The images are Zalando's, under the MIT licence in ``sample.LICENSE``;
``make_sample.py`` chose them.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxlinear.data.fashion.files import CLASSES
from jaxlinear.types import Batch, Dataset

PATH = Path(__file__).with_name("sample.npz")


def fashion_mnist_sample() -> Dataset:
    """Load 6,000 training and 1,000 test images, 600 and 100 of each class: x uint8, y int32.

    The first of each class in the official order, x (n, 784), y (n,). Needs nothing but the
    package, so it serves where Fashion-MNIST itself cannot be fetched.
    """
    with np.load(PATH, allow_pickle=False) as arrays:
        train, test = (
            Batch(jnp.asarray(arrays[f"x_{name}"]), jnp.asarray(arrays[f"y_{name}"], jnp.int32))
            for name in ("train", "test")
        )
    return Dataset(train, test, CLASSES)
