"""What is trained on: the examples of each set, what things are called, and the loss."""

from typing import NamedTuple

import numpy as np

import jaxlinear as jl


class Part(NamedTuple):
    """The examples of one set: a ``Batch``, and what only a table tells of its rows.

    ``offset`` is added to the outputs, rows of one ``group`` belong together, and ``time`` orders
    them: (n,) each, or None.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    group: np.ndarray | None = None
    time: np.ndarray | None = None

    @property
    def batch(self) -> jl.Batch:
        """What solvers and metrics take."""
        return jl.Batch(self.x, self.y, self.weight)


class Task(NamedTuple):
    """What to train on, what things are called, and the loss.

    ``validation``, which decides when to stop, and ``test``, which decides nothing, may be None.
    ``names`` are those of the classes, ``outputs`` those of several targets, ``told`` is what a
    person should know of how the file was read, and ``decided`` what the model file keeps of it.
    """

    title: str
    train: Part
    validation: Part | None
    test: Part | None
    names: tuple[str, ...]
    features: tuple[str, ...]
    target: str
    loss: str
    images: bool
    outputs: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    decided: dict = {}  # noqa: RUF012 - never written to
