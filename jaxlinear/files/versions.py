"""A tree in a file that is written again and again, and the one before it beside it."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from jaxtyping import PyTree

from jaxlinear.files import trees
from jaxlinear.files.atomic import remove_leftovers


def previous(path: Path) -> Path:
    """Where the file is that was ``path`` before the last was written."""
    return path.with_name(f"{path.name}.previous")


def write(path: Path, tree: PyTree, about: Mapping[str, str]) -> None:
    """Write a tree to ``path``, whole or not at all, and keep the one that is there."""
    trees.write(path, tree, about, previous=previous(path))


def recovered(path: Path) -> bool:
    """Whether there is a sound file under ``path``, put back from the previous one if need be.

    Of one process at a time: what others that write ``path`` have begun is removed. Warns where
    the newest file is damaged, and the previous one takes its place. Raises
    ``trees.DamagedError`` where there is no sound one.
    """
    if path.parent.is_dir():
        remove_leftovers(path)
    older = previous(path)
    try:
        trees.about(path)
        return True
    except FileNotFoundError:
        if not older.exists():
            return False
        trees.about(older)  # a process was killed between two renamings
    except trees.DamagedError as error:
        try:
            trees.about(older)
        except (FileNotFoundError, trees.DamagedError):
            raise trees.DamagedError(f"{error} Nor is there a sound {older.name}.") from error
        warnings.warn(f"{path} is damaged; the previous one, {older.name}, is used.", stacklevel=2)
    os.replace(older, path)
    return True
