"""One uint8 array per split beside the prepared records: what every load after the first reads."""

import io
from pathlib import Path

import numpy as np

from jaxlinear.data.fashion.files import FILES, Split, Splits, check
from jaxlinear.files.atomic import replacing


def write(folder: Path, splits: Splits) -> None:
    """Write ``<split>.npy``, (n, 785): 784 pixels, then the label. Raises OSError."""
    for name, (x, y) in splits.items():
        buffer = io.BytesIO()
        np.save(buffer, np.column_stack([x, y]))
        with replacing(folder / f"{name}.npy") as file:
            file.write(buffer.getbuffer())  # np.save to a full disk loses the error number


def read(folder: Path) -> Splits | None:
    """Read the arrays and check their SHA-256, or return None when any is missing or damaged."""
    try:
        splits = {name: _read_split(folder / f"{name}.npy") for name in FILES}
        check(splits, folder)
    except (OSError, ValueError, EOFError):
        return None
    return splits


def _read_split(path: Path) -> Split:
    examples = np.load(path, allow_pickle=False)
    if examples.dtype != np.uint8 or examples.ndim != 2 or examples.shape[1] != 785:
        raise ValueError(f"{path} is {examples.dtype}{examples.shape}, expected uint8 (n, 785)")
    return Split(np.ascontiguousarray(examples[:, :-1]), examples[:, -1].copy())
