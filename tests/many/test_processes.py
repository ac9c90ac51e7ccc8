"""One program of several processes, which are started here and talk over the loopback."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import jaxlinear as jl

N, D = 403, 5  # rows that do not divide
LOSSES = jl.losses

FITS = {
    "ridge": lambda b: jl.ridge(b.x, b.y[:, 0], 0.1, weight=b.weight, refine=False),
    "sgd_fit": lambda b: sgd(b, 0.1),
}
MORE = {
    "least_squares": lambda b: jl.least_squares(b.x, b.y, weight=b.weight),
    "ridge_cv": lambda b: jl.ridge_cv(b.x, b.y[:, 0], [1.0, 0.1], weight=b.weight).fit,
    "logistic_regression": lambda b: jl.logistic_regression(b.x, b.y[:, 1], 0.1, weight=b.weight),
    "softmax_regression": lambda b: jl.softmax_regression(
        b.x, b.y[:, 1].astype(int), 0.1, weight=b.weight, classes=2
    ),
    "sweep": lambda b: jl.sweep(lambda h: sgd(b, **h), jl.grid(lr=[0.01, 0.1])),
}


def sgd(batch, lr):
    settings = {"key": jax.random.key(0), "batch_size": 40, "epochs": 2, "shards": 4}
    y = batch.y[:, 0]
    return jl.sgd_fit(LOSSES.squared_error, batch.x, y, weight=batch.weight, lr=lr, **settings)


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D))
    number = x @ np.arange(D) + rng.normal(size=N)
    return jl.Batch(x.astype(np.float32), np.stack([number, number > 0], 1).astype(np.float32))


def join(port: str, place: str, processes: str) -> int:
    """What every process does first; its number."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", int(processes), int(place))
    return int(place)


def check(port, place, processes, *names):
    """Print what differs from the fit of one process."""
    here, several = join(port, place, processes), int(processes)
    whole = problem()
    own = jax.tree.map(lambda rows: np.array_split(rows, several)[here], whole)
    mesh = jl.sharding.mesh(examples=several)
    spread = jl.sharding.of_processes(mesh, own)
    assert not spread.x.is_fully_addressable and spread.x.shape == (404, D)
    alone = jl.resample.pad(whole, 404)
    for name in names:
        fit = (FITS | MORE)[name]
        found, expected = fit(spread), fit(alone)
        for leaf, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(np.asarray(leaf), other, rtol=1e-5, atol=1e-6, err_msg=name)


def lose_one(port, place, processes):
    """The second process ends while the first waits for its rows."""
    here = join(port, place, processes)
    mesh, whole = jl.sharding.mesh(examples=2), problem()
    own = jax.tree.map(lambda rows: np.array_split(rows, 2)[here], whole)
    spread = jl.sharding.of_processes(mesh, own)
    if here:
        os._exit(0)
    start = time.monotonic()
    try:
        jax.block_until_ready(FITS["ridge"](spread))
    except (RuntimeError, ValueError) as error:  # what gloo says of it differs
        print(f"lost after {time.monotonic() - start:.0f} s: {type(error).__name__}", flush=True)
    os._exit(0)  # the coordinator would wait for the one that is lost


def started(function: str, processes: int, *arguments: str) -> list[tuple[int, str]]:
    """What processes that call a function of this module end with, and print."""
    here, library = pathlib.Path(__file__).parent, pathlib.Path(jl.__file__).parents[1]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(map(str, (library, here, here.parent))),
    }
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    call = f"import sys, test_processes; test_processes.{function}(*sys.argv[1:])"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", call, port, str(place), str(processes), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for place in range(processes)
    ]
    try:
        printed = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, text) for process, text in zip(running, printed, strict=True)]


@pytest.mark.parametrize(
    ("processes", "names"),
    [
        (2, FITS),
        pytest.param(4, FITS, marks=[pytest.mark.full, pytest.mark.long]),
        pytest.param(2, MORE, marks=[pytest.mark.full, pytest.mark.long]),
    ],
)
def test_several_processes_fit_what_one_does(processes, names):
    for code, text in started("check", processes, *names):
        assert code == 0, text


@pytest.mark.full
def test_a_process_that_is_lost_ends_the_others_with_an_error():
    (code, text), _ = started("lose_one", 2)
    assert code == 0 and "lost after" in text, text
    assert int(text.split("lost after ")[1].split()[0]) < 60


def test_rows_of_one_process_are_those_of_a_mesh():
    batch = problem()
    mesh = jl.sharding.mesh()
    spread = jl.sharding.of_processes(mesh, batch)
    assert spread.weight is None and spread.x.sharding.mesh == mesh
    np.testing.assert_array_equal(spread.x, batch.x)
