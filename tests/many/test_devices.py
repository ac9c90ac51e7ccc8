"""One program on 1, 2 and 8 devices. The devices are made in a process of its own."""

import os
import pathlib
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxlinear as jl
from jaxlinear.convex import solve, static
from jaxlinear.exact import gram, statistics

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
    "gram.of_batch": lambda x, y: statistics.of_batch(jl.Batch(x, y[:, None])),
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


def sgd(batch, lr=0.1, **options):
    options = {"key": jax.random.key(0), "batch_size": 64, "epochs": 2} | options
    x, y, weight = batch
    return jl.sgd_fit(jl.losses.squared_error, x, y, weight=weight, lr=lr, l2=L2, **options)


def check_sgd(batch):
    """Print what differs where examples, models, or both lie on several devices."""
    lrs = jl.grid(lr=np.linspace(0.01, 0.2, 8, dtype=np.float32))
    solo = {parts: sgd(batch, shards=parts) for parts in (1, 4, 8)}
    many = {parts: jl.sweep(lambda h, parts=parts: sgd(batch, **h, shards=parts), lrs)
            for parts in (1, 4)}  # fmt: skip
    mesh = jl.sharding.mesh(examples=8)
    assert (solo[1].params.w != solo[8].params.w).all(), "the shards make no difference"
    same("sgd_fit over examples", sgd(jl.sharding.over_examples(mesh, batch)), solo[8])
    for models, examples in ((8, 1), (2, 4)):
        mesh = jl.sharding.mesh(models=models, examples=examples)
        rows, hypers = jl.sharding.over_examples(mesh, batch), jl.sharding.over_models(mesh, lrs)
        fits = jl.sweep(lambda h, rows=rows: sgd(rows, **h), hypers)
        assert len(fits.params.w.sharding.device_set) == 8
        same(f"sweep over {models} x {examples} devices", fits, many[examples])


def same(name, fit, other):
    for got, expected in zip(jax.tree.leaves(fit), jax.tree.leaves(other), strict=True):
        if not np.allclose(got, expected, rtol=1e-5, atol=1e-6):
            print(f"{name} differs by {np.abs(np.asarray(got) - expected).max():.1e}")


def check_that_rows_stay(batch):
    """Print the collectives other than sums: none may carry rows of x to another device."""
    weight = np.ones(N, np.float32)
    rows = jl.sharding.over_examples(jl.sharding.mesh(examples=8), batch._replace(weight=weight))
    program = jax.jit(lambda rows: sgd(rows, shards=8, batch_size=120)).lower(rows)  # and ragged
    only_sums("sgd_fit over examples", program)
    large = jl.Batch(np.tile(rows.x, (64, 1)), np.tile(rows.y > 0, 64).astype(np.float32))
    spread = jl.sharding.over_examples(jl.sharding.mesh(examples=8), large)
    arranged = static.arranged(
        jl.losses.logistic, spread.x, spread.y, None, None, None, True, None, 100, None
    )
    setting, data, start = arranged
    only_sums("logistic_regression", solve.solve.lower(setting, data, L2, start))


def only_sums(name, program):
    """Print what else devices exchange."""
    text = program.compile().as_text()
    assert "all-reduce" in text
    for word in ("all-gather", "all-to-all", "collective-permute", "reduce-scatter"):
        if f" {word}(" in text:
            print(f"{word} in {name}")


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
    check_sgd(jl.Batch(x, y))
    check_that_rows_stay(jl.Batch(x, y))
    check_rows_that_do_not_divide(jl.Batch(x, y))
    check_that_a_sweep_goes_on()


def check_that_a_sweep_goes_on():
    """What comes from files lies on the devices where it would have been computed."""
    lrs = jl.grid(lr=np.linspace(0.01, 0.2, 16, dtype=np.float32))
    hypers = jl.sharding.over_models(jl.sharding.mesh(models=8), lrs)

    def run(hyper):
        return {"one": hyper["lr"] * 2, "many": jnp.outer(hyper["lr"] * jnp.ones(2), jnp.ones(3))}

    expected = jl.sweep(run, hypers, chunk=8)
    with tempfile.TemporaryDirectory() as directory:
        for remove in ("models-000000008.npz", "models-000000000.npz", None):
            fits = jl.sweep(run, hypers, chunk=8, resume=directory)
            for got, other in zip(*map(jax.tree.leaves, (fits, expected)), strict=True):
                np.testing.assert_array_equal(got, other)
                assert got.sharding == other.sharding, (got.sharding, other.sharding)
            if remove:
                os.remove(os.path.join(directory, remove))


def check_rows_that_do_not_divide(batch):
    """They are filled up by rows that are absent."""
    mesh = jl.sharding.mesh(examples=8)
    for n, filled in ((N, N), (N - 3, N), (3, 8)):
        part = jax.tree.map(lambda rows, n=n: rows[:n], batch)
        rows = jl.sharding.over_examples(mesh, part)
        assert rows.x.shape == (filled, D) and (rows.weight is None) == (n == filled)
        if n > D:
            same(f"ridge of {n} rows", jl.ridge(*rows[:2], L2, weight=rows.weight, refine=False),
                 jl.ridge(*part[:2], L2, refine=False))  # fmt: skip


def test_what_does_not_divide_is_refused():
    x, y = problem()
    with pytest.raises(ValueError, match=r"got 512 examples and batch_size 64 for 5 shards"):
        sgd(jl.Batch(x, y), shards=5)
    with pytest.raises(ValueError, match=r"models is 2 and examples 3, for 6 devices; expected"):
        jl.sharding.mesh(models=2, examples=3, devices=jax.devices()[:1])


@pytest.mark.full
def test_any_number_of_devices_gives_the_same_fit():
    here, library = pathlib.Path(__file__).parent, pathlib.Path(jl.__file__).parents[1]
    flags = os.environ.get("XLA_FLAGS", "")
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(map(str, (library, here, here.parent))),
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={max(COUNTS)}",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import test_devices; test_devices.check()"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,  # a collective that not all devices reach would wait for ever
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
