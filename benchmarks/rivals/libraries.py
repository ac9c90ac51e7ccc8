"""Rivals from libraries that may be absent, each on a number of threads that is stated."""

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterable

import jax
import numpy as np

from benchmarks import machine
from benchmarks.harness import Rival

OPTIONAL = {
    "sklearn": "scikit-learn",
    "himalaya": "himalaya",
    "torch": "torch",
    "cyanure": "cyanure",
    "glum": "glum",
}


def rivals(
    name: str,
    run: Callable,
    *,
    threads: Iterable[int] | None = None,
    said: str = "",
    work: float = 1,
    proof: Callable | None = None,
    needs: Iterable[str] = (),
) -> list[Rival]:
    """``run`` on so many threads of BLAS each (one and all), or a row that says what is absent."""
    missing = [absent(n) for n in needs if absent(n)]
    if missing:
        return [skipped(name, missing[0])]

    def variant(count):
        words = f"{count} thread{'s'[: count > 1]}", said
        timed, proven = (r and functools.partial(_with_threads, count, r) for r in (run, proof))
        return Rival(name, timed, work, ", ".join(filter(None, words)), proven, count)

    return [variant(count) for count in threads or machine.thread_counts()]


_refused: set[str] = set()


def allow(names: Iterable[str]) -> None:
    """Leave out all other libraries."""
    _refused.clear()
    _refused.update(set(OPTIONAL) - set(names))


def absent(name: str) -> str | None:
    """Why a library takes no part, or None."""
    if name in _refused:
        return f"{OPTIONAL[name]} was not asked for"
    if importlib.util.find_spec(name) is None:
        return f"{OPTIONAL.get(name, name)} is not installed"
    return None


def skipped(name: str, reason: str) -> Rival:
    """A row that says why there is none."""

    def run():
        raise ImportError(reason)

    return Rival(name, run)


def _with_threads(threads: int, run: Callable):
    torch = sys.modules.get("torch")  # which counts its threads itself
    before = torch and torch.get_num_threads()
    try:
        if torch:
            torch.set_num_threads(threads)
        with _threads_of_libraries().limit(limits=threads):
            return run()
    finally:
        if torch:
            torch.set_num_threads(before)


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
        "glum",
    ):
        if importlib.util.find_spec(name.split(".")[0]):
            importlib.import_module(name)


def on_torch(*arrays):
    """As tensors that torch may write to, on the GPU where it sees one."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [torch.from_numpy(np.array(array)).to(device) for array in arrays]


def on_jax(*arrays):
    """On JAX's device beforehand: no rival is timed for loading its data."""
    return jax.block_until_ready(jax.device_put(arrays))
