"""A run of SGD that was stopped goes on by the same call, and ends as if it had never been."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxlinear as jl
from jaxlinear.files import trees, versions

SOFTMAX = jl.losses.softmax_cross_entropy
rng = np.random.default_rng(0)
X = rng.normal(size=(43, 5)).astype(np.float32)
Y = rng.integers(0, 3, 43).astype(np.int32)
VALIDATION = jl.Batch(X[:20] + 0.5, Y[:20])
BASE = {
    "key": jax.random.key(7), "lr": 0.3, "momentum": 0.5, "batch_size": 8, "epochs": 12,
    "validation": VALIDATION, "metrics": {"accuracy": jl.metrics.accuracy},
}  # fmt: skip


def fit(loss=SOFTMAX, x=X, y=Y, **options):
    return jl.sgd_fit(loss, x, y, **{**BASE, **options})


def bits(fit):
    """Parameters, report, history, validation and the state of the optimizer."""
    structure = jax.tree.structure(fit)
    return structure, [
        (str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(fit)
    ]


class StopError(Exception):
    """What ends a run between two checkpoints."""


def stopped(path, after, **options):
    """A run whose process fails after so many epochs, as far as its files can tell."""
    write = versions.write

    def failing(path, tree, about):
        if len(tree.history) > after:
            raise StopError
        write(path, tree, about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "write", failing)
        with pytest.raises(StopError):
            fit(checkpoint=path, **options)


@pytest.fixture(scope="module")
def never_stopped():
    return fit()


@pytest.fixture
def half(tmp_path):
    stopped(tmp_path / "run", 6, every=2)
    return tmp_path / "run"


def test_a_run_that_was_stopped_ends_as_one_that_was_not(half, never_stopped, compilations):
    """In one program, whatever the epochs between checkpoints; a run that is over stays so."""
    heard = []
    ended = fit(checkpoint=half, every=2, callback=lambda epoch, *_: heard.append(epoch))
    assert bits(ended) == bits(never_stopped) and heard == [6, 7, 8, 9, 10, 11]
    again = fit(checkpoint=str(half), every=5, callback=lambda *_: heard.append("more"))
    assert bits(again) == bits(ended) and "more" not in heard
    before = compilations("advance")
    assert bits(fit(checkpoint=half.parent / "other", every=5)) == bits(ended)
    assert compilations("advance") == before + 1


PATIENCE = {"patience": 3, "lr": 2.0, "epochs": 40}
CASES = {
    "adam, all at once": {"optimizer": optax.adam, "momentum": 0.0, "batch_size": 43},
    "weights, no validation": {
        "weight": np.arange(43) % 4, "validation": None, "metrics": None, "l2": 0.1,
        "drop_last": True,
    },
    "a Fit to continue": {"init": "fit"},
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_run(tmp_path, name):
    options = dict(CASES[name])
    if "init" in options:
        options["init"] = fit(epochs=2)
    stopped(tmp_path / "run", 2, **options)
    assert bits(fit(checkpoint=tmp_path / "run", **options)) == bits(fit(**options))


def test_patience_counts_over_the_stop(tmp_path):
    options = PATIENCE
    whole = fit(**options)
    ran = int(np.isfinite(whole.history).sum())
    assert whole.report.status == jl.Status.CONVERGED and 4 <= ran < 40
    stopped(tmp_path / "run", ran - 2, **options)
    ended = fit(checkpoint=tmp_path / "run", every=7, **options)
    assert bits(ended) == bits(whole)


def test_more_epochs_go_on_and_fewer_are_refused(half, never_stopped):
    fit(checkpoint=half, epochs=8)
    with pytest.raises(ValueError, match="holds a run of 8 epochs; expected 5 at most"):
        fit(checkpoint=half, epochs=5)
    assert bits(fit(checkpoint=half)) == bits(never_stopped)


def other(array, place=(0,)):
    array = np.array(array)
    array[place] += 1
    return array


TABLE = np.float32([1, 2, 3])


def scaled(table):
    def loss(o, y):
        return SOFTMAX(o, y) * jnp.asarray(table)[y]

    loss.target = "labels"
    return loss


OTHERS = {
    "x": ({"x": other(X, (42, 4))}, r"x = float32\[43,5\] of SHA-256 .*; expected float32\[43,5\]"),
    "shape": ({"x": X[:, :4], "validation": VALIDATION._replace(x=X[:20, :4])}, "x = "),
    "y": ({"y": (Y + 1) % 3}, r"y = int32\[43\] of SHA"),
    "weight": ({"weight": np.ones(43)}, r"structure of weight = PyTreeDef\(None\)"),
    "validation": ({"validation": VALIDATION._replace(y=Y[1:21])}, r"validation.y = "),
    "lr": ({"lr": 0.31}, r"lr = float32\[\] 0\.3; expected float32\[\] 0\.31"),
    "l2": ({"l2": 0.1}, r"l2 = float32\[\] 0\.0; expected float32\[\] 0\.1"),
    "momentum": ({"momentum": 0.4}, "momentum = "),
    "patience": ({"patience": 3}, "structure of patience = "),
    "key": ({"key": jax.random.key(8)}, r"key = key<fry>\[\] of SHA"),
    "init": ({"init": jl.Linear(np.ones((3, 5), np.float32), np.zeros(3, np.float32))}, "init.w ="),
    "batch_size": ({"batch_size": 9}, "batch_size = 8; expected 9"),
    "drop_last": ({"drop_last": True}, "drop_last = False; expected True"),
    "loss": ({"loss": scaled(TABLE)}, "loss = <function softmax_cross_entropy>"),
    "optimizer": ({"optimizer": optax.adam, "momentum": 0.0}, "optimizer = None; expected <functi"),
    "metrics": ({"metrics": {"f1": jl.metrics.f1}}, "metrics = .*accuracy.*f1"),
    "data of the loss": ({"loss": scaled(TABLE + 1)}, "an epoch = a program"),
}


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory):
    """Checkpoints of a run, and of one whose loss closes over an array."""
    folder = tmp_path_factory.mktemp("one_epoch")
    fit(checkpoint=folder / "run", epochs=1)
    fit(scaled(TABLE), checkpoint=folder / "data of the loss", epochs=1)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_another_run_is_refused_by_name(one_epoch, name):
    """The file stays as it is."""
    path = one_epoch / name if (one_epoch / name).exists() else one_epoch / "run"
    before = path.read_bytes()
    options, message = OTHERS[name]
    with pytest.raises(ValueError, match=message):
        fit(checkpoint=path, **options)
    assert path.read_bytes() == before


def test_a_damaged_file_and_then_both(half, never_stopped):
    whole = half.read_bytes()
    half.write_bytes(whole[:-1])
    with pytest.warns(UserWarning, match="run is damaged; the previous one"):
        assert bits(fit(checkpoint=half)) == bits(never_stopped)
    for path in (half, versions.previous(half)):
        path.write_bytes(path.read_bytes()[1:])
    with pytest.raises(trees.DamagedError, match=r"is damaged.*Nor is there a sound"):
        fit(checkpoint=half)


def test_wrong_arguments(tmp_path):
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    for options, message in (
        ({"every": 2}, "every is 2 without a checkpoint"),
        ({"checkpoint": tmp_path / "run", "every": 0}, "every is 0; expected a whole number"),
        ({"checkpoint": tmp_path}, "a directory; expected a file"),
        ({"checkpoint": tmp_path / "notes.txt"}, "notes.txt is damaged"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(**options)
    with pytest.raises(OSError, match="notes"):
        fit(checkpoint=tmp_path / "notes.txt" / "run")
    assert (tmp_path / "notes.txt").read_text() == "not a checkpoint"


@pytest.mark.parametrize("transformation", [jax.jit, jax.vmap])
def test_not_under_a_transformation(tmp_path, transformation):
    run = transformation(lambda lr: fit(lr=lr, checkpoint=tmp_path / "run"))
    with pytest.raises(ValueError, match=r"under jit or vmap.*sweep"):
        run(jnp.ones(2) if transformation is jax.vmap else 0.1)


# Processes that are killed

LONG = {"epochs": 400, "lr": 0.01, "metrics": None, "validation": None}


def start(folder, *ends):
    """A process that begins the long run of a folder, or goes on with it; all keep programs."""
    command = [sys.executable, __file__, str(folder), *ends]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def epochs_done(path):
    return int(trees.about(path)["epochs done"]) if versions.recovered(path) else 0


def changed(path):
    """When the file was written; between two renamings there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def killed(folder, generator):
    """A process that is killed at a random moment after its first checkpoint: code and epochs."""
    path = folder / "run"
    before = changed(path)
    process = start(folder)
    while process.poll() is None and changed(path) in (None, before):
        time.sleep(0.01)
    time.sleep(generator.uniform(0, 0.3))
    process.kill()
    process.communicate()
    return process.returncode, epochs_done(path)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.full)])
def test_a_process_that_is_killed_again_and_again(tmp_path, kills):
    generator = random.Random(kills)
    codes, done = zip(*(killed(tmp_path, generator) for _ in range(kills)), strict=True)
    assert codes[0] == -signal.SIGKILL
    assert list(done) == sorted(done) and 0 < done[0] < LONG["epochs"]
    printed, told = start(tmp_path, "ends").communicate()
    assert printed == "True\n", told


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    jax.config.update("jax_disable_most_optimizations", True)  # as in the other tests
    jl.cache(folder / "programs")
    ended = fit(checkpoint=folder / "run", **LONG)
    if "ends" in sys.argv:
        print(bits(ended) == bits(fit(checkpoint=folder / "another", every=100, **LONG)))
