"""Do fits to a stream take memory that does not grow, at the speed at which the file is read?

``python -m benchmarks.beyond_memory 1_000_000 5_000_000 --directory /tmp`` writes files of so many
rows of 20 float32 numbers, one after another, reads each in a process of its own by NumPy,
``jl.gram.of_stream`` and ``jl.streams.logistic_regression``, prints seconds and the peak of the
memory of each process, and deletes the files. 50,000,000 rows are 4 GB, the case to check before a
release. The seconds are those of a second call, which compiles nothing and finds the file in the
page cache, where there is room for it.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from benchmarks import fresh

COLUMNS, BLOCK = 20, 2**16
WAYS = ("numpy", "gram", "logistic")

_SCRIPT = """
import json, sys, time
import jax
import numpy as np
import jaxlinear as jl
from benchmarks.peak_memory import peak

way, folder = sys.argv[1:]
x, y = f"{folder}/x.npy", f"{folder}/y.npy"
stream = jl.data.stream(x, y)

def read(_):
    # A map for every block, or all of the file would count as memory of this process.
    n = len(np.load(y, mmap_mode="r"))
    return sum(float(np.load(x, mmap_mode="r")[i : i + 2**16].sum()) for i in range(0, n, 2**16))

run = {"numpy": read, "gram": jl.gram.of_stream, "logistic": jl.streams.logistic_regression}[way]
jax.block_until_ready(run(stream))
start = time.perf_counter()
jax.block_until_ready(run(stream))
print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak()}))
"""


def measure(rows: int, directory: str | None = None) -> dict:
    """Seconds and the peak in megabytes of every way to read so many rows."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        _write(rows, Path(folder))
        return {way: json.loads(fresh.last_line("-c", _SCRIPT, way, folder)) for way in WAYS}


def _write(rows: int, folder: Path) -> None:
    rng, w = np.random.default_rng(0), np.linspace(-1, 1, COLUMNS)
    x = open_memmap(folder / "x.npy", "w+", np.float32, (rows, COLUMNS))
    y = open_memmap(folder / "y.npy", "w+", np.float32, (rows,))
    for first in range(0, rows, BLOCK):
        block = rng.normal(size=(min(BLOCK, rows - first), COLUMNS))
        x[first : first + BLOCK] = block
        y[first : first + BLOCK] = rng.uniform(size=len(block)) < 1 / (1 + np.exp(-block @ w))


def main(arguments: list[str] | None = None) -> None:
    """Print a line for every size and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--directory", help="where to write the files; the system's by default")
    options = parser.parse_args(arguments)
    for rows in options.rows:
        for way, found in measure(rows, options.directory).items():
            print(f"{rows:>12,} {way:>9} {found['seconds']:8.2f} s {found['peak_mb']:8.0f} MB")


if __name__ == "__main__":
    main()
