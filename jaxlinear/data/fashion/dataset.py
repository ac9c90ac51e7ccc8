"""Fashion-MNIST: from a prepared directory, from files at hand, or from the network."""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlinear.data.fashion import cache, files
from jaxlinear.data.fashion.files import Split, Splits
from jaxlinear.types import Batch, Dataset

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAME = "jaxlinear_fashion_mnist"  # the builder's name and version: tfds is not imported for them
VERSION = "1.0.0"
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class Prepared(NamedTuple):
    """Where the prepared data lies, and the number of examples of each split."""

    path: Path
    counts: dict[str, int]


def fashion_mnist(directory: str | os.PathLike | None = None) -> Dataset:
    """Load Fashion-MNIST: x uint8 (n, 784), y int32 (n,), n = 60,000 for train, 10,000 for test.

    The first load prepares the data in a tensorflow-datasets data_dir (in seconds, without
    TensorFlow), later loads read one array per split from there. The images come from the first
    of: the data_dir, if prepared; the four official files in ``directory``, in the data_dir's
    ``downloads/manual`` or where Debian's package dataset-fashion-mnist puts them; the network.
    Whatever the source, the content is checked against the official SHA-256, bit for bit.

    ``directory`` is a data_dir, prepared or to be prepared (default: $TFDS_DATA_DIR, else
    ~/tensorflow_datasets), or a folder that holds the four files, with or without ``.gz``. Such
    a folder is read once and left alone: the data is prepared in the default data_dir.

    Raises ValueError for files that hold anything else, FileNotFoundError when some of the four
    are missing, ConnectionError when the network fails, and OSError (PermissionError) when the
    data_dir cannot be written or the disk is full. Nothing half-written is ever read.
    """
    data_dir, folder = _places(directory)
    splits = cache.read(_prepared(data_dir)) or _prepare(data_dir, folder)
    return Dataset(_batch(splits["train"]), _batch(splits["test"]), files.CLASSES)


def verify(directory: str | os.PathLike | None = None) -> Prepared:
    """Read every prepared byte again; prepare or mend what is missing or damaged.

    Takes ``directory`` and raises as ``fashion_mnist`` does.
    """
    data_dir, folder = _places(directory)
    splits = _prepare(data_dir, folder, trust_cache=False)
    return Prepared(_prepared(data_dir), {name: len(split.y) for name, split in splits.items()})


def _batch(split: Split) -> Batch:
    return Batch(jnp.asarray(split.x), jnp.asarray(split.y.astype(np.int32)))


def _places(directory: str | os.PathLike | None) -> tuple[Path, Path | None]:
    """The data_dir, and the folder of the four files where ``directory`` is one."""
    default = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if directory is None:
        return default, None
    given = Path(directory).expanduser()
    if files.any_in(given) and not _prepared(given).exists():
        return default, given
    return given, None


def _prepared(data_dir: Path) -> Path:
    return data_dir / NAME / VERSION


def _prepare(data_dir: Path, folder: Path | None, *, trust_cache: bool = True) -> Splits:
    """Prepare what is not prepared yet, one process at a time, and return the arrays."""
    prepared = _prepared(data_dir)
    with _named_storage_errors(data_dir), _lock(prepared.parent):
        # Another process may have prepared everything while this one waited.
        splits = cache.read(prepared) if trust_cache else None
        if splits is None:
            _remove_leftovers(data_dir)
            splits = _records(data_dir, folder)
            if cache.read(prepared) is None:
                cache.write(prepared, splits)
    return splits


def _records(data_dir: Path, folder: Path | None) -> Splits:
    """The content of the array_record files, which are written first where they must be."""
    from jaxlinear.data.fashion import builder  # loads tensorflow_datasets

    splits = builder.read(data_dir)
    if splits is None:
        splits = cache.read(_prepared(data_dir)) or _from_sources(data_dir, folder)
        builder.prepare(data_dir, splits)
    return splits


def _from_sources(data_dir: Path, folder: Path | None) -> Splits:
    if folder is not None:
        return files.read(folder)
    complaints = []
    for place in (data_dir / "downloads" / "manual", DEBIAN):
        if files.any_in(place):
            try:
                return files.read(place)
            except (ValueError, FileNotFoundError) as error:  # e.g. plain MNIST: same names
                complaints.append(f"\nNor was this of use: {error}")
    from jaxlinear.data.fashion.download import fetch

    downloads = data_dir / "downloads" / NAME
    try:
        fetch(downloads)
    except (ConnectionError, ValueError) as error:
        raise type(error)("".join([str(error), *complaints])) from error
    return files.read(downloads)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time prepare; the system releases the lock of one that died."""
    import fcntl  # missing on Windows, like array_record

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for the process that prepares {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(data_dir: Path) -> None:
    """Remove what a killed process left; only the holder of the lock may."""
    for path in (data_dir / NAME).glob("incomplete.*"):
        shutil.rmtree(path, ignore_errors=True)
    for folder in (_prepared(data_dir), data_dir / "downloads" / NAME):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _named_storage_errors(data_dir: Path) -> Iterator[None]:
    """Make the errors of a full or write-protected disk say what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # array_record's writer raises RuntimeError with the system's words in it.
        full = any(os.strerror(code) in str(error) for code in _FULL)
        if full or getattr(error, "errno", None) in _FULL:
            raise OSError(
                errno.ENOSPC,
                f"No room in {data_dir} for Fashion-MNIST ({error}): about 130 MB are needed. "
                "Free some, name another disk in TFDS_DATA_DIR or as `directory`, or use "
                "jl.data.fashion_mnist_sample()",
            ) from error
        if getattr(error, "errno", None) in _DENIED:
            raise PermissionError(
                error.errno,
                f"Cannot prepare Fashion-MNIST in {data_dir} ({error}): name a directory that "
                "can be written in TFDS_DATA_DIR or as `directory`, or use "
                "jl.data.fashion_mnist_sample()",
            ) from error
        raise
