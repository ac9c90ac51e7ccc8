"""What the first call costs a user: import, data to the device, and ``sgd_fit`` with compiling.

Measured in fresh processes, the median of a few: nothing that the suite has compiled helps.
"""

import json
import statistics

from benchmarks import fresh

_SCRIPT = """
import json, sys, time
start = time.perf_counter()
import jaxlinear as jl
imported = time.perf_counter()
import jax
import numpy as np
directory, epochs, lr, size = json.loads(sys.argv[1])
data = jl.data.fashion_mnist(directory).train
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


def measure(directory, *, epochs=10, lr=0.1, size=256, repeats=3) -> dict:
    """Seconds of ``import jaxlinear``, of ``device_put``, and of the first two fits."""
    argument = json.dumps([directory, epochs, lr, size])
    try:
        runs = [json.loads(fresh.last_line("-c", _SCRIPT, argument)) for _ in range(repeats)]
    except RuntimeError as error:
        return {"first_call_error": str(error)}
    return {f"{k}_seconds": statistics.median(run[k] for run in runs) for k in runs[0]}
