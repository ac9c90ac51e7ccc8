"""Reports of every epoch to the host, from inside a compiled run.

The program gets the number of a listener as an argument, not the listener itself: another
callback, such as the next progress bar, does not recompile it.
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

    A ``traced`` run has not begun when this block ends, so its listener stays registered.
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
    """From inside a compiled program, call the listener on the host, unless ``stopped``."""
    jax.debug.callback(_call, number, epoch, stopped, objective, validation)


def _call(number, epoch, stopped, objective, validation) -> None:
    if not stopped:
        metrics = {name: float(value) for name, value in (validation or {}).items()}
        _listeners[int(number)](int(epoch), float(objective), metrics)
