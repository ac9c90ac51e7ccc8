"""What the first call costs a user: import, data to the device, and ``sgd_fit`` with compiling.

Measured in fresh processes, the median of a few: nothing that the suite has compiled helps.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import json, sys, time
start = time.perf_counter()
import jaxlinear as jl
imported = time.perf_counter()
import jax
import numpy as np
directory, fast, epochs, lr, size = json.loads(sys.argv[1])
data = (jl.data.fashion_mnist_sample() if fast else jl.data.fashion_mnist(directory)).train
x, y = np.asarray(data.x), np.asarray(data.y)
ready = time.perf_counter()
x, y = jax.block_until_ready(jax.device_put((x, y)))
placed = time.perf_counter()

def fit(seed):
    start = time.perf_counter()
    jax.block_until_ready(jl.sgd_fit(
        jl.losses.softmax_cross_entropy, x, y, key=jax.random.key(seed), lr=lr,
        batch_size=size, epochs=epochs, outputs=10,
    ))
    return time.perf_counter() - start

seconds = {"import": imported - start, "data_to_device": placed - ready}
print(json.dumps(seconds | {"first_fit": fit(0), "second_fit": fit(1)}))
"""


def measure(directory, fast: bool, *, epochs=10, lr=0.1, size=256, repeats=3) -> dict:
    """Seconds of ``import jaxlinear``, of ``device_put``, and of the first two fits."""
    argument = json.dumps([directory, fast, epochs, lr, size])
    root = Path(__file__).parents[1]
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    runs = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, argument],
            cwd=root, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            return {"first_call_error": done.stderr.strip().splitlines()[-1]}
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {f"{k}_seconds": statistics.median(run[k] for run in runs) for k in runs[0]}
