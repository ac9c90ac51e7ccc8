"""Files that appear whole or not at all, and the one before kept."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path, *, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write; when the block ends well it becomes ``path``, otherwise it is removed.

    The bytes are on the disk before the name is, so neither a crash nor a full disk leaves a
    part of a file under ``path``, and a reader sees the old file or the new one. A process that
    is killed may leave ``.<name>.<hex>.tmp`` behind. Raises OSError as ``open`` and ``write`` do.

    ``previous``: a name for what lay under ``path`` until then. Between the two renamings there is
    nothing under ``path``, and all that there was under ``previous``.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a directory cannot be opened
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the new name survives a power cut
        finally:
            os.close(directory)


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote ``path`` have left behind."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.") and left.name.endswith(".tmp"):
            left.unlink(missing_ok=True)
