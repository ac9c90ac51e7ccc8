"""Where the batches of a stream come from: arrays, files of NumPy, tables, folders, functions."""

import dataclasses
import functools
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from jaxlinear.data import arrays
from jaxlinear.rows import stream as streams
from jaxlinear.rows.stream import Stream
from jaxlinear.types import Batch


def stream(
    source,
    target: str | os.PathLike | None = None,
    *,
    size: int | None = None,
    drop: tuple[str, ...] = (),
    separator: str | None = None,
    progress: bool = False,
) -> Stream:
    """Examples that no memory holds, as a stream of batches, for ``jl.streams`` and ``jl.gram``.

    ``source`` is

    - arrays ``(x, y)``, ``(x, y, weight)`` or a ``Batch``, which may be memory maps;
    - a function that returns an iterator of ``Batch``, such as a generator function; a list of
      batches, or whatever can be iterated over again and again;
    - the path of a .npy file of x (n, d), with that of y as ``target``;
    - the path of a .npz file with arrays x, y and, if you like, weight, which is read whole;
    - the path of a table (.parquet, .arrow, .feather, .csv, .tsv), whose column ``target`` is y and
      all others, but those of ``drop``, are features; read by ``pyarrow.dataset``;
    - a folder of such files, of one kind, in the order of their names: of .npy files ``target``
      is a folder of as many.

    A file is opened anew for every pass, and no more than a block of it is in memory. x and y are
    computed with in the dtype that JAX has for theirs: float32, or float64 inside
    ``jax.enable_x64(True)``; bytes are scaled to [0, 1]. Numbers whose digits float32 cannot hold
    are refused at the end of the first pass. A target of words becomes labels, which index
    ``names`` of the stream.

    Args:
      source, target, drop: see above.
      size: the rows that are computed with at a time; None for about a million numbers.
      separator: between the columns of a text file; None for a comma, or a tab in .tsv.
      progress: show a bar for every pass.

    Raises FileNotFoundError, and ValueError for a file of another type, a column that is unknown
    or is no number, and, in a pass, for missing values and blocks that do not fit the first.

    torch's ``IterableDataset``, and its ``DataLoader`` with one worker that reads ahead.

    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> [len(batch.x) for batch in stream((x, y))]
    [4]
    """
    if not isinstance(source, (str, os.PathLike)):
        if target is not None or drop or separator:
            raise ValueError("target, drop and separator are for paths; expected none of them.")
        return _with(_of_values(source), size, progress)
    path = Path(source)
    files = _files(path)
    kind = files[0].suffix
    if kind == ".npz":
        made = _ordered(functools.partial(_of_npz, files))
    elif kind == ".npy":
        made = _ordered(functools.partial(_of_npy, files, _targets(path, files, target)))
    else:
        from jaxlinear.data import datasets  # loads pyarrow

        made = datasets.of_table(files, target, drop, separator)
    return _with(made, size, progress)


def _with(made: Stream, size: int | None, progress: bool) -> Stream:
    size = made.size if size is None else size
    return dataclasses.replace(made, size=size, progress=progress or made.progress)


def _ordered(batches: Callable) -> Stream:
    """The stream of ``batches(rng)``, in their order, or with a generator in a random one."""
    return Stream(functools.partial(batches, None), shuffled=batches)


def _of_values(source) -> Stream:
    is_arrays = isinstance(source, tuple) and len(source) in (2, 3)
    if not is_arrays or isinstance(source[0], Batch):
        return streams.of(source)
    x, y, *weight = source
    batch = Batch(*(None if part is None else _read(part) for part in (x, y, *weight)))
    return _ordered(functools.partial(_rows, batch))


def _read(array) -> Callable:
    """A function that gives the array; a memory map anew, so that what was read is let go."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
        order = "C" if array.flags.c_contiguous else "F"
        return functools.partial(
            np.memmap, array.filename, array.dtype, "r", array.offset, array.shape, order
        )
    return lambda: array


def _rows(readers: Batch, rng: np.random.Generator | None) -> Iterator[Batch]:
    """Blocks of the rows of arrays, which readers make anew for every block."""
    x, y, weight = (None if read is None else np.shape(read()) for read in readers)
    for name, shape in (("y", y), ("weight", weight)):
        if shape is not None and shape[:1] != x[:1]:
            raise ValueError(f"x has shape {x} and {name} {shape}; expected as many rows.")
    for rows in streams.spans(x, rng):
        yield Batch(*(read and read()[rows] for read in readers))


def _files(path: Path) -> list[Path]:
    """The file, or the files of a folder, which must be of one kind."""
    if not path.is_dir():
        arrays.require_file(path)
        return [path]
    files = sorted(file for file in path.iterdir() if file.name[0] not in "._")
    kinds = sorted({file.suffix for file in files})
    if len(kinds) != 1:
        raise ValueError(
            f"{path} holds {f'files of the types {kinds}' if kinds else 'no files'}; expected "
            "files of one type, .npy, .npz, .parquet, .arrow, .feather, .csv or .tsv."
        )
    return files


def _targets(path: Path, files: list[Path], target) -> list[Path]:
    if target is None:
        raise ValueError(f"{path} holds x alone; give the .npy file, or folder, of y as target.")
    found = _files(Path(target))
    if len(found) != len(files):
        raise ValueError(f"{path} has {len(files)} files and {target} {len(found)}; expected "
                         "one of y for each of x.")  # fmt: skip
    return found


def _of_npy(files: list[Path], targets: list[Path], rng) -> Iterator[Batch]:
    for x, y in _in_order(list(zip(files, targets, strict=True)), rng):
        readers = Batch(functools.partial(_mapped, x), functools.partial(_mapped, y))
        try:
            yield from _rows(readers, rng)
        except ValueError as error:
            raise ValueError(f"{x} and {y}: {error}") from error


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged or empty ({error})") from error


def _in_order(files: list, rng: np.random.Generator | None) -> list:
    return files if rng is None else [files[i] for i in rng.permutation(len(files))]


def _of_npz(files: list[Path], rng) -> Iterator[Batch]:
    for path in _in_order(files, rng):
        found = arrays.read(path)
        if not isinstance(found, dict) or not {"x", "y"} <= found.keys():
            got = sorted(found) if isinstance(found, dict) else "a single array"
            raise ValueError(f"{path} holds {got}; expected arrays x, y and, if you like, weight.")
        yield from streams.slices(Batch(found["x"], found["y"], found.get("weight")), rng)
