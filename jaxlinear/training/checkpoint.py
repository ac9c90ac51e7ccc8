"""A run of SGD that survives its process: its state in a file, every few epochs.

A checkpoint is a file that ``files.versions`` writes: whole or not at all, on the disk before it
has its name, with a SHA-256 over every byte, and the one before it kept. (Orbax has no fsync, and
no checksum that covers all bytes; a checkpoint of it is a directory of many files.)
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear.files import trees, versions
from jaxlinear.files.programs import told
from jaxlinear.training import program
from jaxlinear.training.program import Training
from jaxlinear.training.static import Data, Setting
from jaxlinear.types import Fit


def run(setting: Setting, data: Data, listener, path: Path, every: int) -> Fit:
    """Train, from the newest checkpoint of ``path`` on where there is one, and write new ones.

    What the next epochs are given is always what the file holds, whether it was read or written.
    """
    part = setting._replace(epochs=min(every, setting.epochs))
    data = jax.tree.map(jnp.asarray, data)  # once, and not for every part
    training = jax.eval_shape(lambda data: program.begin(part, data), data)
    about = _about(setting, data, training)
    done, training = _newest(path, setting.epochs, training, about)
    if training is None:
        training = jax.device_get(program.begin(part, data))
    while done < setting.epochs and not _is_over(training, data):
        epochs = min(part.epochs, setting.epochs - done)
        more = jax.device_get(program.advance(part, data, training[:2], np.int32(epochs), listener))
        training, done = _joined(training, more, epochs), done + epochs
        versions.write(path, training, _after(about, done))
    return program.end(setting, data, _filled(training, setting.epochs - done))


def opened(path: str | os.PathLike) -> Path:
    """The path of a checkpoint, whose folder is made; an error where it cannot be written."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"checkpoint is {path}, a directory; expected a file, new or of this run.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} cannot be written; name another checkpoint.")
    return path


def _newest(path: Path, epochs: int, like: Training, about: dict[str, str]):
    """The number of epochs that are done, and the run after them: 0 and None for a new one."""
    if not versions.recovered(path):
        return 0, None
    done = int(trees.about(path).get("epochs done", 0))
    training = trees.read(path, _joined(like, like, done), _after(about, done))
    if done > epochs:
        raise ValueError(
            f"{path} holds a run of {done} epochs; expected {epochs} at most, as epochs "
            "says. Raise epochs, or name another place."
        )
    return done, training


def _about(setting: Setting, data: Data, training: Training) -> dict[str, str]:
    """What can be known of a run: every number that it is given, and what an epoch does."""
    batch, start = data.batch, data.start
    given = {"x": batch.x, "y": batch.y, "weight": batch.weight, "validation": data.validation}
    given |= {name: getattr(data, name) for name in ("lr", "l2", "momentum", "patience", "key")}
    given |= {"init": start.params, "state of init": start.state, "steps of init": start.steps}
    options = {"batch_size": setting.size, "drop_last": setting.drop_last, "shards": setting.shards}
    made = {"loss": setting.loss, "optimizer": setting.optimizer, "metrics": setting.metrics}
    told_of_all = {}
    for name, tree in given.items():
        told_of_all |= trees.contents(tree, name)
    return {
        "jax": f"{jax.__version__} on {jax.default_backend()}",
        **{name: str(option) for name, option in options.items()},
        **{name: trees.without_addresses(repr(function)) for name, function in made.items()},
        **told_of_all,
        "an epoch": told(program.traced(setting, data, training[:2])),
    }


def _after(about: dict[str, str], done: int) -> dict[str, str]:
    return {**about, "epochs done": str(done)}


def _is_over(training: Training, data: Data) -> bool:
    return training.watch is not None and bool(training.watch.waited >= data.patience)


def _joined(training: Training, more: Training, epochs: int) -> Training:
    """The later of two runs, with the curves of the first and so many epochs of the second."""

    def join(curve, new):
        if isinstance(curve, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct((epochs,), curve.dtype)
        return np.concatenate([curve, new[:epochs]])

    curves = jax.tree.map(join, training[2:], more[2:])
    return Training(*more[:2], *curves)


def _filled(training: Training, epochs: int) -> Training:
    """With NaN for the epochs that patience has spared."""

    def fill(curve):
        return np.concatenate([curve, np.full(epochs, np.nan, curve.dtype)])

    return Training(*training[:2], *jax.tree.map(fill, tuple(training[2:])))
