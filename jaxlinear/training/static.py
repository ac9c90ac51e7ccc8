"""What a run of SGD is told before tracing, and what it is given."""

from collections.abc import Callable
from typing import NamedTuple

import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxlinear.training.train import Model
from jaxlinear.types import Batch

Optimizer = optax.GradientTransformation | Callable


class Setting(NamedTuple):
    """Static options; ``size`` is that of a minibatch, ``metrics`` are pairs of name and metric."""

    loss: Callable
    optimizer: Optimizer | None
    size: int
    epochs: int
    drop_last: bool
    shards: int
    metrics: tuple[tuple[str, Callable], ...]


class Data(NamedTuple):
    """The checked data, where to start (without optimizer state for a new one), and numbers."""

    batch: Batch
    validation: Batch | None
    start: Model
    key: PRNGKeyArray
    lr: Float[ArrayLike, ""]
    l2: Float[ArrayLike, "*k"]
    momentum: Float[ArrayLike, ""]
    patience: Int[Array, ""] | None
    sound: Bool[ArrayLike, ""]
