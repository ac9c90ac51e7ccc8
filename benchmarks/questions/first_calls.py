"""How long does the first call take, in a process that has computed nothing yet?

Compiling is nearly all of it; the import and the data are not counted. Every function is called in
processes of its own: with no program there, and with those that ``jl.cache`` has kept.
"""

import json
import statistics
import tempfile

from benchmarks import fresh, machine
from benchmarks.harness import Row

CALLS = {
    "least_squares": "jl.least_squares(x, y)",
    "ridge": "jl.ridge(x, y, 0.1)",
    "ridge_cv": "jl.ridge_cv(x, y, l2s)",
    "logistic_regression": "jl.logistic_regression(x, one, 0.1)",
    "poisson_regression": "jl.poisson_regression(x, count, 0.1)",
    "softmax_regression": "jl.softmax_regression(x, label, 0.1)",
    "glm_path": "jl.glm_path(jl.losses.logistic, x, one, l2s)",
    "glm_cv": "jl.glm_cv(jl.losses.logistic, x, one, l2s, 5)",
    "linear_probe": "jl.linear_probe(x, label, held_out, l2s)",
    "sgd_fit": "jl.sgd_fit(loss, x, label, key=jax.random.key(0), lr=0.1, epochs=5, outputs=3)",
}
ROWS, COLUMNS = 569, 30
REPEATS = 3

_SCRIPT = """
import json, sys, time
import jax, numpy as np, jaxlinear as jl
call, n, d, kept = json.loads(sys.argv[1])
if kept:
    jl.cache(kept)
random = np.random.default_rng(0)
x = random.normal(size=(n, d)).astype(np.float32)
y = (x[:, 0] - x[:, 1] + random.normal(size=n)).astype(np.float32)
one, label = (y > 0).astype(np.float32), np.digitize(y, [-0.5, 0.5])
count = random.poisson(np.exp(y / 4)).astype(np.float32)
held_out, l2s = np.arange(n) >= 0.8 * n, np.geomspace(1e-3, 1, 8)
loss = jl.losses.softmax_cross_entropy
call = eval("lambda: " + call)
jax.block_until_ready(jax.device_put(1.0))  # the device is there

def seconds():
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, getattr(result, "fit", result).report.status

first, status = seconds()
if not np.isin(status, [jl.Status.CONVERGED, jl.Status.MAX_STEPS]).all():
    raise ValueError(f"a fit ended with status {np.max(status)}")
print(json.dumps([first, seconds()[0]]))
"""


def answer(*, directory=None, fast: bool = False, rounds: int = REPEATS, say=print) -> dict:
    """The table of all ``CALLS``: seconds of first calls, and what they are with kept programs."""
    repeats, n = (1, 60) if fast else (min(rounds, REPEATS), ROWS)
    rows = []
    for name, call in CALLS.items():
        say(name)
        try:
            rows.append(_row(name, call, n, repeats))
        except RuntimeError as error:
            rows.append(Row(name, error=str(error)))
    return {
        "question": "first_calls",
        "title": f"First calls in a fresh process, {n} \N{MULTIPLICATION SIGN} {COLUMNS}"
        + (" (smoke test)" if fast else ""),
        "settings": {"shape": [n, COLUMNS], "calls": CALLS},
        "unit": "call",
        "reference": None,
        "column": "with `jl.cache`, ms",
        "rows": [row._asdict() for row in rows],
        "notes": {},
        "machine": machine.describe(**({"size": 256, "megabytes": 16} if fast else {})),
    }


def _row(name: str, call: str, n: int, repeats: int) -> Row:
    cold = [_fresh(call, n, None) for _ in range(repeats)]
    with tempfile.TemporaryDirectory() as folder:
        _fresh(call, n, folder)
        kept = [_fresh(call, n, folder)[0] for _ in range(repeats)]
    again = statistics.median(second for _, second in cold)
    return Row(
        f"`{name}`",
        f"then {1e3 * again:.2g} ms",
        seconds=tuple(first for first, _ in cold),
        checked=float(f"{1e3 * statistics.median(kept):.3g}"),
    )


def _fresh(call: str, n: int, kept: str | None) -> list[float]:
    """Seconds of the first and of the second call in a new process."""
    argument = json.dumps([call, n, COLUMNS, kept])
    # Of kept programs jaxlib logs errors that are none (see ``jl.cache``).
    return json.loads(fresh.last_line("-c", _SCRIPT, argument, TF_CPP_MIN_LOG_LEVEL="3"))
