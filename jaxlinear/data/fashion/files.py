"""The four official files of Fashion-MNIST, compressed or not, recognised by their content.

The format is idx: two zero bytes, 8 for unsigned bytes, the number of axes, the sizes as
big-endian 32-bit integers, then the values. https://github.com/zalandoresearch/fashion-mnist
"""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
WAYS_OUT = (
    "Give the folder of the four official files as `directory`, install Debian's package "
    "dataset-fashion-mnist, or use jl.data.fashion_mnist_sample(), which needs no file"
)


class File(NamedTuple):
    """One official file: its name without ``.gz``, its shape, the SHA-256 of its idx bytes."""

    name: str
    shape: tuple[int, ...]
    digest: str

    @property
    def header(self) -> bytes:
        """The idx header, which the digest covers too."""
        return struct.pack(f">HBB{len(self.shape)}I", 0, 8, len(self.shape), *self.shape)


FILES = {
    "train": (
        File(
            "train-images-idx3-ubyte",
            (60_000, 28, 28),
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        File(
            "train-labels-idx1-ubyte",
            (60_000,),
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
    ),
    "test": (
        File(
            "t10k-images-idx3-ubyte",
            (10_000, 28, 28),
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        File(
            "t10k-labels-idx1-ubyte",
            (10_000,),
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
}


class Split(NamedTuple):
    """The images (n, 784) and the labels (n,) of one split: NumPy arrays of uint8."""

    x: np.ndarray
    y: np.ndarray


Splits = dict[str, Split]  # "train" and "test"


def all_files() -> list[File]:
    """The four files, of both splits."""
    return [file for files in FILES.values() for file in files]


def any_in(folder: Path) -> bool:
    """Say whether ``folder`` holds any of the four files, with or without ``.gz``."""
    return any(_find(folder, file) for file in all_files())


def read(folder: Path) -> Splits:
    """Read and check the four files in ``folder``, each with or without ``.gz``.

    Raises FileNotFoundError when one is missing, ValueError when one holds something else.
    """
    missing = [f"{file.name}.gz" for file in all_files() if not _find(folder, file)]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}; expected the four files of Fashion-MNIST, "
            f"with or without .gz. {WAYS_OUT}."
        )
    return {
        split: Split(*(read_file(_find(folder, file), file) for file in files))
        for split, files in FILES.items()
    }


def read_file(path: Path, file: File, source: object = None) -> np.ndarray:
    """Read one file and check that it holds what the official ``file`` holds.

    Returns uint8 of shape (n, 784) or (n,). Raises ValueError that names ``source`` (default:
    ``path``) when the content is anything else.
    """
    source = source or path
    size = len(file.header) + int(np.prod(file.shape))
    data = _uncompressed(path, size + 1, source)
    if data[:4] != file.header[:4]:
        page = data.lstrip()[:1] == b"<"
        raise ValueError(
            f"{source} is {'a web page' if page else 'not an idx file'}, expected "
            f"{file.name}.gz of Fashion-MNIST; a proxy or a login page may stand in between. "
            f"{WAYS_OUT}."
        )
    if data[: len(file.header)] != file.header or len(data) != size:
        shape = struct.unpack_from(f">{len(file.shape)}I", data.ljust(16, b"\0"), 4)
        raise ValueError(
            f"{source} holds {'more than ' * (len(data) > size)}{min(len(data), size):,} bytes "
            f"and says shape {shape}, expected {size:,} bytes of shape {file.shape}. {WAYS_OUT}."
        )
    array = np.frombuffer(data, np.uint8, offset=len(file.header))
    _check(array, file, source)
    return array.reshape(file.shape[0], -1) if len(file.shape) == 3 else array


def check(splits: Splits, source: object) -> None:
    """Raise ValueError that names ``source`` unless ``splits`` hold Fashion-MNIST, bit for bit."""
    for name, files in FILES.items():
        for array, file in zip(splits[name], files, strict=True):
            _check(array, file, source)


def _check(array: np.ndarray, file: File, source: object) -> None:
    if array.size != np.prod(file.shape):
        raise ValueError(f"{source} holds {array.size:,} values, expected shape {file.shape}.")
    if len(file.shape) == 1:
        counts = np.bincount(array, minlength=10).tolist()
        if counts != [file.shape[0] // 10] * 10:
            raise ValueError(
                f"{source} has {counts} labels of each class, expected "
                f"{file.shape[0] // 10:,} of each of 0-9: is it plain MNIST? {WAYS_OUT}."
            )
    digest = hashlib.sha256(file.header)
    digest.update(np.ascontiguousarray(array))
    if digest.hexdigest() != file.digest:
        raise ValueError(
            f"{source} has the shape of Fashion-MNIST's {file.name} but other content (SHA-256 "
            f"{digest.hexdigest()[:12]}…, expected {file.digest[:12]}…): plain MNIST goes by the "
            f"same file names. {WAYS_OUT}."
        )


def _find(folder: Path, file: File) -> Path | None:
    paths = (folder / f"{file.name}.gz", folder / file.name)
    return next((path for path in paths if path.is_file()), None)


def _uncompressed(path: Path, limit: int, source: object) -> bytes:
    """At most ``limit`` bytes of content: a file that unpacks to gigabytes fills no memory."""
    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            file.seek(0)
            return file.read(limit)
        file.seek(0)
        try:
            with gzip.open(file) as unpacked:
                return unpacked.read(limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{source} is a truncated or damaged gzip file ({error}); fetch it again. "
                f"{WAYS_OUT}."
            ) from error
