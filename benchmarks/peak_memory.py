"""How much memory one call takes beyond its data: in a fresh process, whose peak is its own."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from benchmarks import fresh
from benchmarks.rivals import exact as exact_rivals
from benchmarks.rivals import libraries

STATUS = Path("/proc/self/status")


def measure(ways: Mapping[str, str], arrays: Sequence[np.ndarray], number: int) -> dict:
    """Megabytes, or an error, for each way: a function of ``exact_rivals`` of arrays and a number.

    Of JAX's memory only that on a CPU counts, and only Linux tells it.
    """
    if jax.default_backend() != "cpu" or not STATUS.exists():
        return {}
    peaks = {name: _in_fresh_process(way, arrays, number) for name, way in ways.items()}
    return {"peak_memory_mb": peaks}


def _in_fresh_process(way: str, arrays: Sequence[np.ndarray], number: int) -> float | str:
    with tempfile.TemporaryDirectory() as folder:
        for i, array in enumerate(arrays):
            np.save(Path(folder, f"{i}.npy"), array)
        try:
            peak = fresh.last_line("-m", "benchmarks.peak_memory", way, folder, str(number))
        except RuntimeError as error:
            return str(error)
    return round(float(peak), 1)


def of_call(way: str, folder: str, number: int) -> float:
    """Megabytes that the peak of this process grows by."""
    libraries.import_libraries()
    run = getattr(exact_rivals, way)
    arrays = [np.load(path) for path in sorted(Path(folder).glob("*.npy"))]
    if way.startswith("jaxlinear"):
        arrays = libraries.on_jax(*arrays)
    before = peak()
    jax.block_until_ready(run(*arrays, number))
    return peak() - before


def peak() -> float:
    """The most megabytes of memory that this process has held so far."""
    # Not ``ru_maxrss``: Linux hands that of the parent on to the child.
    lines = STATUS.read_text().splitlines()
    return next(1024e-6 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(of_call(sys.argv[1], sys.argv[2], int(sys.argv[3])))
