"""One program on 1, 2 and 8 devices. The devices are made in a process of its own."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import oracles
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxlinear as jl
from jaxlinear import gram

N, D, L2 = 512, 5, 0.1
COUNTS = (1, 2, 8)
ROWS = PartitionSpec("rows")

SOLVERS = {
    # Without refinement, which is the same program as in least_squares, and slow to compile.
    "ridge": (lambda x, y: jl.ridge(x, y, L2, refine=False), L2),
    "least_squares": (jl.least_squares, 0.0),
    "ridge_cv": (lambda x, y: jl.ridge_cv(x, y, [10.0, 1e-3, 1.0]).fit, 1e-3),
}
STATISTICS = {
    "gram.of": gram.of,
    "gram.of_batch": lambda x, y: gram.of_batch(jl.Batch(x, y)),
}


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) + 1
    y = x @ np.linspace(-0.5, 1, D) + 0.1 * rng.normal(size=N) + 0.5
    return x.astype(np.float32), y.astype(np.float32)


def from_shards(mesh):
    """The fits from the statistics that every device has taken of its rows alone."""

    def fits(x, y):
        shared = {name: gram.psum(of(x, y), "rows") for name, of in STATISTICS.items()}
        return {name: gram.ridge(made, L2).params for name, made in shared.items()}

    return jax.jit(jax.shard_map(fits, mesh=mesh, in_specs=ROWS, out_specs=PartitionSpec()))


def check():
    """Print every fit that differs from NumPy in float64; runs where there are 8 devices."""
    assert jax.device_count() == max(COUNTS), jax.devices()
    x, y = problem()
    expected = {l2: oracles.ridge(*map(np.float64, (x, y)), l2) for _, l2 in SOLVERS.values()}
    for count in COUNTS:
        mesh = Mesh(jax.devices()[:count], ROWS)
        sharded = [jax.device_put(rows, NamedSharding(mesh, ROWS)) for rows in (x, y)]
        assert len(sharded[0].addressable_shards) == count
        fits = {name: (solve(*sharded).params, l2) for name, (solve, l2) in SOLVERS.items()}
        fits |= {name: (params, L2) for name, params in from_shards(mesh)(*sharded).items()}
        for name, (params, l2) in fits.items():
            pairs = zip(params, expected[l2], strict=True)
            error = max(np.max(np.abs(np.asarray(got) - leaf)) for got, leaf in pairs)
            if not error < 1e-6:
                print(f"{name} on {count} devices is off by {error:.1e}")


def test_any_number_of_devices_gives_the_same_fit():
    here, library = pathlib.Path(__file__).parent, pathlib.Path(jl.__file__).parents[1]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(map(str, (library, here))),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={max(COUNTS)}",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import test_devices; test_devices.check()"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,  # a collective that not all devices reach would wait for ever
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
