"""Chunks of a sweep on disk, a file each, so that the same call goes on where it was stopped."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
from jaxtyping import PyTree

from jaxlinear.files import trees
from jaxlinear.files.programs import told
from jaxlinear.many import programs


class Kept(NamedTuple):
    """A directory of chunks, their shapes and dtypes, and of which sweep they are, in words."""

    directory: Path
    results: PyTree[jax.ShapeDtypeStruct]
    about: dict[str, str]


def chunk_size(directory: Path) -> int | None:
    """The size of the chunks that are there, or None where there are none."""
    there = _there(directory)
    size = trees.about(there[0]).get("chunk") if there else None
    return int(size) if size else None


def opened(path: str | os.PathLike, run: Callable, hypers: PyTree, models: int, size: int) -> Kept:
    """The directory ``path``, made where it is not there, for the chunks of this sweep.

    What can be known of a sweep is the bytes of its hyper-parameters, what ``run`` does as JAX has
    traced it, and the bytes of the arrays that it closes over: the same in every process.
    """
    directory = Path(path)
    if directory.exists() and not directory.is_dir():
        raise ValueError(
            f"checkpoint is {directory}, a file; expected a directory, new or of a sweep."
        )
    directory.mkdir(parents=True, exist_ok=True)
    chunk = jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[:size], tree), hypers)
    program = programs.of(run, chunk)
    about = {
        "jax": f"{jax.__version__} on {jax.default_backend()}",
        "models": str(models),
        "chunk": str(size),
        **trees.contents(hypers, "hypers"),
        **trees.described(program.results),
        "the data of run": f"arrays of SHA-256 {trees.digest(*program.data)}",
        "run": told(program.jaxpr),
    }
    return Kept(directory, program.results, about)


def write(kept: Kept, start: int, chunk: PyTree) -> None:
    """Write the results of the chunk whose first model is ``start``, whole or not at all."""
    trees.write(_path(kept, start), chunk, _about(kept, start))


def read(kept: Kept) -> dict[int, PyTree]:
    """The chunks that are there, by their first models; ValueError as ``trees.read``."""
    starts = [int(path.stem.removeprefix("models-")) for path in _there(kept.directory)]
    return {
        start: trees.read(_path(kept, start), kept.results, _about(kept, start)) for start in starts
    }


def _there(directory: Path) -> list[Path]:
    return sorted(directory.glob("models-" + "[0-9]" * 9 + ".npz"))


def _path(kept: Kept, start: int) -> Path:
    return kept.directory / f"models-{start:09d}.npz"


def _about(kept: Kept, start: int) -> dict[str, str]:
    return {**kept.about, "first model": str(start)}
