"""How long does the first call take, in a process that has computed nothing yet?

Compiling is nearly all of it; the import and the data are not counted. Every function is called in
processes of its own: with no program there, and with those that ``jl.cache`` has kept.
"""

import json
import statistics
import tempfile

from benchmarks import calls, fresh, machine
from benchmarks.harness import Row

ROWS, COLUMNS = 569, 30
REPEATS = 3

_SCRIPT = """
import json, sys
import jax
import jaxlinear as jl
from benchmarks import calls
from benchmarks.harness import clock
name, n, d, kept = json.loads(sys.argv[1])
if kept:
    jl.cache(kept)
data = calls.data(n, d)
jax.block_until_ready(jax.device_put(1.0))  # the device is there
first, result = clock(lambda: calls.FITS[name](data, 3))
calls.report_of(result)
print(json.dumps([first, clock(lambda: calls.FITS[name](data, 3))[0]]))
"""


def answer(*, directory=None, fast: bool = False, rounds: int = REPEATS, say=print) -> dict:
    """The table of all fits: seconds of first calls, and what they are with kept programs."""
    repeats, n = (1, 60) if fast else (min(rounds, REPEATS), ROWS)
    rows = []
    for name in calls.FITS:
        say(name)
        try:
            rows.append(_row(name, n, repeats))
        except RuntimeError as error:
            rows.append(Row(name, error=str(error)))
    return {
        "question": "first_calls",
        "title": f"First calls in a fresh process, {n} \N{MULTIPLICATION SIGN} {COLUMNS}"
        + (" (smoke test)" if fast else ""),
        "settings": {"shape": [n, COLUMNS]},
        "unit": "call",
        "reference": None,
        "column": "with `jl.cache`, ms",
        "rows": [row._asdict() for row in rows],
        "notes": {},
        "machine": machine.describe(fast=fast),
    }


def _row(name: str, n: int, repeats: int) -> Row:
    cold = [_fresh(name, n, None) for _ in range(repeats)]
    with tempfile.TemporaryDirectory() as folder:
        _fresh(name, n, folder)
        kept = [_fresh(name, n, folder)[0] for _ in range(repeats)]
    again = statistics.median(second for _, second in cold)
    return Row(
        f"`{name}`",
        f"then {1e3 * again:.2g} ms",
        seconds=tuple(first for first, _ in cold),
        checked=float(f"{1e3 * statistics.median(kept):.3g}"),
    )


def _fresh(name: str, n: int, kept: str | None) -> list[float]:
    """Seconds of the first and of the second call in a new process."""
    argument = json.dumps([name, n, COLUMNS, kept])
    # Of kept programs jaxlib logs errors that are none (see ``jl.cache``).
    return json.loads(fresh.last_line("-c", _SCRIPT, argument, TF_CPP_MIN_LOG_LEVEL="3"))
