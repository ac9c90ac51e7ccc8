"""Epochs reported to the host while a compiled run goes on.

The program holds the number of a listener, not the listener: another callback, such as the next
progress bar, compiles nothing new.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np

_listeners: dict[int, Callable] = {}
_numbers = itertools.count()


@contextlib.contextmanager
def listening(callback: Callable | None, *, traced: bool) -> Iterator[np.int32 | None]:
    """Register ``callback(epoch, objective, validation)`` and yield its number.

    A ``traced`` run has not begun when this block ends, so its listener stays.
    """
    if callback is None:
        yield None
        return
    number = next(_numbers)
    _listeners[number] = callback
    try:
        yield np.int32(number)
    finally:
        if not traced:
            del _listeners[number]


def tell(number, epoch, stopped, objective, validation) -> None:
    """Call the listener with numbers from the host's side, from inside a compiled program."""
    jax.debug.callback(_call, number, epoch, stopped, objective, validation)


def _call(number, epoch, stopped, objective, validation) -> None:
    if not stopped:
        metrics = {name: float(value) for name, value in (validation or {}).items()}
        _listeners[int(number)](int(epoch), float(objective), metrics)
