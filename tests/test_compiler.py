"""The compiler: releases that are known to be wrong, and programs that do not grow with n."""

import functools
import os
import re
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear import compiler, losses
from jaxlinear.exact import held_out

OFF = "--xla_cpu_experimental_ynn_fusion_type="


def warned(monkeypatch, release, flags=""):
    monkeypatch.setattr(jaxlib.version, "__version__", release)
    monkeypatch.setenv("XLA_FLAGS", flags)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiler.warn_of_known_faults()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("release", ["0.10.2", "0.11.0"])
def test_a_release_that_is_known_to_be_wrong_is_named_with_the_way_out(monkeypatch, release):
    (message,) = warned(monkeypatch, release)
    for part in (release, "pip install", "!=0.10.2", "!=0.11.0", f"XLA_FLAGS={OFF}"):
        assert part in message
    (_,) = warned(monkeypatch, release, f"{OFF}dot")  # which turns a part of it on
    assert not warned(monkeypatch, release, f"--xla_cpu_enable_fast_math=false {OFF}")


@pytest.mark.parametrize("release", ["0.10.0", "0.10.1", "0.10.20", "0.11.1", "0.12.0.1"])
def test_other_releases_are_not(monkeypatch, release):
    assert not warned(monkeypatch, release)


KEPT = """
import sys
import jaxlinear as jl
assert str(jl.cache(sys.argv[1])) == sys.argv[1]
print(jl.least_squares([[1.0], [2.0], [4.0]], [2.0, 5.0, 11.0]).params.w)
"""


def test_programs_are_kept_for_the_next_process(tmp_path):
    """Of any size and any compile time; the directory is made."""
    folder = tmp_path / "below" / "programs"
    kept, told = [], []
    for _ in range(2):
        told.append(start(KEPT, str(folder)))
        kept.append({path: path.stat().st_mtime_ns for path in folder.glob("*-cache")})
    assert any("solve" in path.name for path in kept[0])
    assert kept[0] == kept[1], "the second process compiled anew"
    assert told == ["[3.]\n"] * 2


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        jl.cache(tmp_path / "file")


@pytest.mark.parametrize(
    ("release", "given", "expected"),
    [
        ("0.10.1", None, compiler._SOONER),
        ("0.10.1", "--xla_cpu_enable_fast_math=false", "--xla_cpu_enable_fast_math=false"),
        ("0.10.1", "", ""),  # what a user says counts, even nothing
        ("0.11.1", None, None),  # it may not have the switches, and would end at once
    ],
)
def test_programs_of_the_command_line_are_compiled_sooner(monkeypatch, release, given, expected):
    monkeypatch.setattr(jaxlib.version, "__version__", release)
    monkeypatch.setenv("XLA_FLAGS", "")  # is put back at the end
    monkeypatch.delenv("XLA_FLAGS")
    if given is not None:
        monkeypatch.setenv("XLA_FLAGS", given)
    compiler.compile_sooner()
    assert os.environ.get("XLA_FLAGS") == expected


def test_the_command_line_names_a_cache_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    code = (
        "import sys, jaxlinear.__main__ as program\n"
        "sys.stderr = sys.stdout\n"
        "print(program.main(['show', 'nothing.npz']))"
    )
    told = start(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file"))
    assert told == f"jaxlinear: error: {tmp_path / 'file'}: File exists\n1\n"


def test_the_command_line_compiles_sooner_and_keeps_programs(tmp_path):
    """The switches count although jax is loaded: nothing has been computed yet."""
    code = (
        "import sys, jax, jaxlinear.__main__ as program\n"
        "sys.argv = ['jaxlinear', 'show', 'nothing.npz']\n"
        "assert program.command_line() == 1\n"
        "print(jax.jit(lambda x: x + 1).lower(1.0).compile().as_text()[:9])\n"
        "import os; print(os.environ['XLA_FLAGS'])\n"
        "print(jax.config.jax_persistent_cache_min_compile_time_secs)"
    )
    told = start(code, flags=None, JAX_COMPILATION_CACHE_DIR=str(tmp_path)).split("\n")
    assert told[0] == "HloModule"
    assert told[1] == (compiler._SOONER if jaxlib.version.__version__[:5] == "0.10." else "")
    assert float(told[2]) == 0


def start(code: str, *arguments: str, flags: str | None = "", **environment: str) -> str:
    """What a process of its own prints."""
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment = inherited | environment | ({} if flags is None else {"XLA_FLAGS": flags})
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TRAINED = """
import sys, jax, logging
from jax import monitoring
import jaxlinear.__main__ as program
compiled = []
monitoring.register_event_listener(lambda name, **_: compiled.append(name))
code = program.command_line()
print("misses", sum(name.endswith("/cache_misses") for name in compiled))
print("hits", sum(name.endswith("/cache_hits") for name in compiled) > 5)
print(logging.getLogger("jax").getEffectiveLevel() == logging.WARNING)
sys.exit(code)
"""


def trained(tmp_path, *arguments, home=None):
    """What a process prints that trains on a table, and what it says on standard error."""
    path = tmp_path / "data.npz"
    x = np.random.default_rng(0).normal(size=(40, 2))
    np.savez(path, x=x, y=x @ [1, 2] + 3)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "TF_CPP_MIN_LOG_LEVEL")
    }
    done = subprocess.run(
        [
            *(sys.executable, "-c", TRAINED, "train", "--dataset", str(path), "--l2", "0"),
            *("--no-plots", "--out", str(tmp_path / "out"), *arguments),
        ],
        capture_output=True,
        text=True,
        env={**inherited, "XDG_CACHE_HOME": str(home or tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-3:], done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the folder of Linux")
def test_the_second_train_compiles_nothing_and_says_nothing(tmp_path):
    (misses, _, loggers), _ = trained(tmp_path)
    assert int(misses.split()[1]) > 5 and loggers == "True"
    (folder,) = (tmp_path / "home" / "jaxlinear").iterdir()
    assert compiler._kind_of_cpu() == folder.name
    kept = sorted(folder.iterdir())
    again, err = trained(tmp_path)
    assert again == ["misses 0", "hits True", "True"]
    assert sorted(folder.iterdir()) == kept
    assert "prefer-no" not in err and len(err) < 500


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the folder of Linux")
def test_programs_are_not_kept_where_they_must_not_or_cannot_be(tmp_path):
    trained(tmp_path, "--no-cache")
    assert not (tmp_path / "home").exists()
    (tmp_path / "file").touch()
    _, err = trained(tmp_path, home=tmp_path / "file")
    assert err.count("jaxlinear: compiled programs are not kept: ") == 1


def test_the_oldest_programs_make_room(tmp_path):
    for age, name in enumerate("abcd"):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "other").write_bytes(bytes(1000))
    compiler.trim(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cache", "b-cache", "other"]
    compiler.trim(tmp_path / "absent", 0)


def test_the_import_warns_once_and_touches_no_device():
    code = (
        "import jax, jaxlib; jaxlib.version.__version__ = '0.10.2'\n"
        "import jaxlinear\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "XLA_FLAGS": flags},
        ).stderr
        for flags in ("", OFF)
    ]
    assert [text.count("RuntimeWarning") for text in told] == [1, 0]


# ------------------------------------------------------------------ programs do not grow with n

D, K = 10, 3
L2S = np.array([1e-3, 1e-2], np.float32)


def abstract(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def programs(n):
    """Every public function of examples, with its arguments for n of them, weights left out."""
    x, y, ys = abstract(n, D), abstract(n), abstract(n, K)
    label, fold = abstract(n, dtype=jnp.int32), abstract(n, dtype=bool)
    one = jl.Linear(abstract(D), abstract())
    many = jl.Linear(abstract(K, D), abstract(K))
    key = jax.random.key(0)
    sgd = functools.partial(jl.sgd_fit, losses.squared_error, key=key, lr=0.1, epochs=2)

    def slope_of_cv(x, y):
        return jax.grad(lambda l2: jl.ridge_cv(x, y, l2[None]).scores[0])(0.1)

    def slope(fit):
        return lambda x, y: jax.grad(lambda x: jnp.sum(fit(x, y).params.w))(x)

    def logistic(x, y):
        return jl.logistic_regression(x, y, 1e-3)

    return {
        "least_squares": (jl.least_squares, x, ys),
        "least_squares of bytes": (jl.least_squares, abstract(n, D, dtype=jnp.uint8), y),
        "ridge": (lambda x, y: jl.ridge(x, y, 1e-3, intercept=False), x, y),
        "ridge_path": (lambda x, y: jl.ridge_path(x, y, L2S), x, ys),
        "ridge_cv": (lambda x, y: jl.ridge_cv(x, y, L2S), x, ys),
        "ridge_cv by folds": (lambda x, y: jl.ridge_cv(x, y, L2S, folds=5), x, y),
        "its slope": (slope_of_cv, x, y),
        "slope of least_squares": (slope(jl.least_squares), x, y),
        "logistic_regression": (logistic, x, y),
        "slope of logistic_regression": (slope(logistic), x, y),
        "logistic_regression of labels": (logistic, x, ys),
        "softmax_regression": (lambda x, y: jl.softmax_regression(x, y, classes=K), x, label),
        "poisson_regression": (
            lambda x, y, o: jl.poisson_regression(x, y, offset=o, intercept=False),
            *(x, y, y),
        ),
        "glm": (lambda x, y: jl.glm(losses.huber, x, y, 1e-3), x, y),
        "glm_path": (lambda x, y: jl.glm_path(losses.gamma, x, y, L2S), x, y),
        "glm_cv": (
            lambda x, y, folds: jl.glm_cv(losses.logistic, x, y, L2S, folds),
            *(x, y, abstract(2, n)),
        ),
        "linear_probe": (lambda x, y, h: jl.linear_probe(x, y, h, L2S, outputs=K), x, label, fold),
        "of_least_squares": (jl.inference.of_least_squares, one, x, y),
        "of_least_squares, robust": (
            lambda p, x, y: jl.inference.of_least_squares(p, x, y, errors="hc3"),
            one,
            x,
            y,
        ),
        "of_least_squares, lags": (
            lambda p, x, y: jl.inference.of_least_squares(
                p, x, y, errors=jl.inference.NeweyWest(3)
            ),
            *(one, x, y),
        ),
        "all_pairs": (jl.inference.all_pairs, x, ys, x),
        "log_p.t": (jl.inference.log_p.t, y, y),
        "benjamini_hochberg": (jl.inference.multiple.benjamini_hochberg, y),
        "of_glm": (lambda p, x, y: jl.inference.of_glm(losses.logistic, p, x, y), one, x, y),
        "of_glm of classes": (
            lambda p, x, y: jl.inference.of_glm(losses.softmax_cross_entropy, p, x, y),
            *(many, x, label),
        ),
        "sgd_fit": (sgd, x, y),
        "sgd_fit of all at once": (functools.partial(sgd, batch_size=2**30), x, y),
        "gram.ridge": (lambda x, y: jl.gram.ridge(jl.gram.of(x, y), 1e-3), x, y),
        "vmap": (jax.vmap(logistic), abstract(2, n, D), abstract(2, n)),
        "probabilities": (jl.probabilities, many, x),
        "labels": (jl.labels, many, x),
        "mean_loss": (
            jax.grad(jl.mean_loss(losses.softmax_cross_entropy)),
            many,
            jl.Batch(x, label),
        ),
        "accuracy": (jl.metrics.accuracy, ys, label),
        "k_fold": (lambda key: jl.resample.k_fold(key, n, 5), key),
        "stratified_k_fold": (lambda key, y: jl.resample.stratified_k_fold(key, y, 5), key, label),
        "bootstrap": (lambda key: jl.resample.bootstrap(key, n, 2), key),
        "permutation": (lambda key: jl.data.permutation(key, n), key),
    }


FEW, MANY = programs(1000), programs(1_000_000)


def compiled(function, *arguments):
    """The optimised program, and the seconds of computing that it took to compile."""
    lowered = jax.jit(lambda *arguments: function(*arguments)).lower(*arguments)
    start = time.process_time()
    text = lowered.compile().as_text()
    return text, time.process_time() - start


def constants(program, n):
    """The constants of n numbers or more."""
    shapes = re.findall(r"= \w+\[([\d,]+)\]\S* constant\(", program)
    return [shape for shape in shapes if np.prod([int(size) for size in shape.split(",")]) >= n]


def test_the_constants_of_a_program_are_seen():
    table = np.sin(np.arange(1000.0))
    program, _ = compiled(lambda x: x + table, abstract(1000))
    assert constants(program, 1000) == ["1000"]


@pytest.mark.full
@pytest.mark.parametrize("name", FEW)
def test_compiling_takes_no_longer_for_more_examples_and_no_constant_grows(name):
    few, quick = compiled(*FEW[name])
    many, slow = compiled(*MANY[name])
    assert not constants(few, 1000)
    assert not constants(many, 1_000_000)
    # Blocks of rows meet a loop and a shorter last block: up to three programs in place of one.
    assert slow < 3 * quick + 2


@pytest.mark.parametrize(("n", "folds"), [(10, 5), (11, 5), (14, 5), (9, 2), (7, 7)])
def test_blocks_of_consecutive_rows_are_those_of_numpy(n, folds):
    blocks = held_out.consecutive(folds, n)
    for number, held in enumerate(np.array_split(np.arange(n), folds)):
        inside, outside = blocks.held_inside[number] == 1, blocks.others_inside[number] == 1
        np.testing.assert_array_equal(blocks.held[number][inside], held)
        others = np.setdiff1d(np.arange(n), held)
        np.testing.assert_array_equal(blocks.others[number][outside], others)
