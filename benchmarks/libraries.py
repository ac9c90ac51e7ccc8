"""Rivals from libraries that may be absent, each on a number of threads that is stated."""

import functools
import importlib.util
from collections.abc import Callable, Iterable

import jax

from benchmarks import machine
from benchmarks.harness import Rival

OPTIONAL = {
    "sklearn": "scikit-learn",
    "himalaya": "himalaya",
    "torch": "torch",
    "cyanure": "cyanure",
}


def rivals(
    name: str,
    run: Callable,
    *,
    threads: Iterable[int] | None = None,
    said: str = "",
    work: float = 1,
    needs: Iterable[str] = (),
) -> list[Rival]:
    """``run`` on so many threads of BLAS each (one and all), or a row that says what is absent."""
    absent = [OPTIONAL[n] for n in needs if importlib.util.find_spec(n) is None]
    if absent:
        return [Rival(name, functools.partial(_absent, absent[0]))]

    def variant(count):
        words = f"{count} thread{'s'[: count > 1]}", said
        timed = functools.partial(_with_threads, count, run)
        return Rival(name, timed, work, ", ".join(filter(None, words)))

    return [variant(count) for count in threads or machine.thread_counts()]


def _absent(package: str):
    raise ImportError(f"{package} is not installed")


def _with_threads(threads: int, run: Callable):
    with _threads_of_libraries().limit(limits=threads):
        return run()


@functools.cache
def _threads_of_libraries():
    from threadpoolctl import ThreadpoolController

    import_libraries()  # SciPy brings a BLAS of its own, which is found only when it is there
    return ThreadpoolController()


def import_libraries() -> None:
    """Import what is installed: no rival is timed or weighed for that."""
    for name in (
        "sklearn.linear_model",
        "sklearn.model_selection",
        "himalaya.ridge",
        "cyanure.estimators",
    ):
        if importlib.util.find_spec(name.split(".")[0]):
            importlib.import_module(name)


def on_jax(*arrays):
    """On JAX's device beforehand: no rival is timed for loading its data."""
    return jax.block_until_ready(jax.device_put(arrays))
