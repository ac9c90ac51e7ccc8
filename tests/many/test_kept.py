"""A sweep that was stopped goes on by the same call, and ends as if it had never been stopped."""

import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl

MODELS, CHUNK = 10, 4
HYPERS = {
    "lr": np.linspace(0.1, 1, MODELS).astype(np.float32),
    "key": jax.random.split(jax.random.key(7), MODELS),
}
X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


class Host:
    """A run that tells the host of every model, and fails at a chosen one."""

    def __init__(self, x=X, fails_at=None):
        self.x, self.fails_at, self.calls, self.traces = x, fails_at, 0, 0

    def called(self, lr):
        if lr == self.fails_at:
            raise RuntimeError("the host has failed")
        self.calls += 1
        return lr

    def __call__(self, hyper):
        self.traces += 1
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        lr = jax.pure_callback(self.called, shape, hyper["lr"], vmap_method="sequential")
        w = jax.random.normal(hyper["key"], (3,))
        return jl.Linear(w - lr * self.x.T @ (self.x @ w), lr), {
            "key": jax.random.split(hyper["key"])
        }


def bits(tree):
    def of(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return str(leaf.dtype), np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()

    return jax.tree.structure(tree), jax.tree.leaves(jax.tree.map(of, tree))


@pytest.fixture(scope="module")
def never_stopped():
    return bits(jl.sweep(Host(), HYPERS, chunk=CHUNK))


@pytest.fixture
def done(tmp_path):
    jl.sweep(Host(), HYPERS, chunk=CHUNK, checkpoint=tmp_path / "sweep")
    return tmp_path / "sweep"


def files(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_what_failed_goes_on(tmp_path, never_stopped, chunks):
    """An exception within the run, in every chunk: only the others are computed again."""
    host, directory = Host(fails_at=HYPERS["lr"][4 * chunks + 1]), tmp_path / "a" / "new"
    with pytest.raises((ValueError, RuntimeError), match="the host has failed"):
        jl.sweep(host, HYPERS, chunk=CHUNK, checkpoint=directory)
    assert len(files(directory)) == chunks
    host.calls, host.fails_at = 0, None
    assert bits(jl.sweep(host, HYPERS, chunk=CHUNK, checkpoint=str(directory))) == never_stopped
    assert host.calls == 4 * (3 - chunks) and host.traces == 1
    assert len(files(directory)) == 3


def test_nothing_is_left_to_do(done, never_stopped):
    host = Host()
    for _ in range(2):
        assert bits(jl.sweep(host, HYPERS, chunk=CHUNK, checkpoint=done)) == never_stopped
    assert host.calls == 0 and host.traces == 1
    assert bits(jl.sweep(Host(), HYPERS, chunk="auto", checkpoint=done)) == never_stopped


def test_the_former_name_is_the_same(done, never_stopped):
    host = Host()
    assert bits(jl.sweep(host, HYPERS, chunk=CHUNK, resume=done)) == never_stopped
    assert host.calls == 0
    with pytest.raises(ValueError, match="got checkpoint and resume, its former name"):
        jl.sweep(host, HYPERS, chunk=CHUNK, resume=done, checkpoint=done)


def of_loss(table):
    """A run that is compiled within, as fits are, and closes over an array there."""
    inner = jax.jit(lambda lr: lr * jnp.asarray(table))
    return lambda hyper: inner(hyper["lr"])


def test_arrays_within_inner_functions_are_known(tmp_path):
    table = np.float32([1, 2, 3])
    jl.sweep(of_loss(table), HYPERS, chunk=CHUNK, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="run = a program of SHA-256"):
        jl.sweep(of_loss(table + 1), HYPERS, chunk=CHUNK, checkpoint=tmp_path)


def test_a_chunk_that_was_removed_is_made_again(done, never_stopped):
    (done / "models-000000004.npz").unlink()
    host = Host()
    assert bits(jl.sweep(host, HYPERS, chunk=CHUNK, checkpoint=done)) == never_stopped
    assert host.calls == CHUNK


def test_all_models_are_one_file_without_a_chunk(tmp_path):
    host, directory = Host(), tmp_path / "sweep"
    first, second = (bits(jl.sweep(host, HYPERS, checkpoint=directory)) for _ in range(2))
    assert first == second and host.calls == MODELS and len(files(directory)) == 1


def test_ctrl_c_returns_what_is_done_and_says_how_to_go_on(tmp_path, never_stopped, monkeypatch):
    module, calls = sys.modules["jaxlinear.many.sweep"], []
    original = module._run

    def stop(run, part):
        calls.append(part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(run, part)

    monkeypatch.setattr(module, "_run", stop)
    with pytest.warns(UserWarning, match=r"first 8 of 10 models\. The same call goes on"):
        params, _ = jl.sweep(Host(), HYPERS, chunk=CHUNK, checkpoint=tmp_path)
    assert params.w.shape == (8, 3)
    assert bits(jl.sweep(Host(), HYPERS, chunk=CHUNK, checkpoint=tmp_path)) == never_stopped
    assert len(calls) == 4


def other_hypers(name, place=0):
    hypers = {key: value.copy() for key, value in HYPERS.items()}
    if name == "lr":
        hypers["lr"][place] = np.nextafter(hypers["lr"][place], 2)
    else:
        hypers["key"] = jax.random.split(jax.random.key(8), MODELS)
    return hypers


OTHERS = {
    "lr": (lambda: (Host(), other_hypers("lr")), {}, r"hypers\['lr'\] = float32\[10\] of SHA"),
    "the last lr": (lambda: (Host(), other_hypers("lr", -1)), {}, r"hypers\['lr'\] = "),
    "key": (lambda: (Host(), other_hypers("key")), {}, r"hypers\['key'\] = key<fry>\[10\] of SHA"),
    "a name": (
        lambda: (lambda hyper: Host()(hyper), HYPERS | {"l2": HYPERS["lr"]}),
        {},
        "structure of hypers = ",
    ),
    "fewer": (
        lambda: (Host(), {name: leaf[:8] for name, leaf in HYPERS.items()}),
        {},
        "models = 10; expected 8",
    ),
    "chunk": (lambda: (Host(), HYPERS), {"chunk": 5}, "chunk = 4; expected 5"),
    "all at once": (lambda: (Host(), HYPERS), {"chunk": None}, "chunk = 4; expected 10"),
    "dtype": (
        lambda: (lambda hyper: jax.tree.map(as_half, Host()(hyper)), HYPERS),
        {},
        r"result\[0\].w = float32\[4,3\]; expected bfloat16\[4,3\]",
    ),
    "results": (lambda: (lambda hyper: Host()(hyper)[0], HYPERS), {}, "structure of result = "),
    "data": (lambda: (Host(X + 1), HYPERS), {}, "the data of run = arrays of SHA-256"),
    "run": (
        lambda: (lambda hyper: Host()(dict(hyper, lr=hyper["lr"] * 2)), HYPERS),
        {},
        "run = a program of SHA-256",
    ),
}


def as_half(leaf):
    return leaf.astype(jnp.bfloat16) if leaf.dtype == jnp.float32 else leaf


@pytest.mark.parametrize("call, options, message", OTHERS.values(), ids=OTHERS)
def test_another_sweep_is_refused_by_name(done, call, options, message):
    (done / "models-000000000.npz").unlink()  # any file tells, not the first alone
    before = files(done)
    with pytest.raises(ValueError, match=rf"models-000000004.npz was written for .*{message}"):
        jl.sweep(*call(), **{"chunk": CHUNK, "resume": done} | options)
    assert files(done) == before


def test_another_release_of_jax_is_refused(done, monkeypatch):
    monkeypatch.setattr(jax, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"jax = .* on \w+; expected 9\.9 on"):
        jl.sweep(Host(), HYPERS, chunk=CHUNK, checkpoint=done)


def test_damage_is_refused(done):
    path = done / "models-000000004.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    host = Host()
    with pytest.raises(ValueError, match=r"models-000000004.npz is damaged"):
        jl.sweep(host, HYPERS, chunk=CHUNK, checkpoint=done)
    assert host.calls == 0


def test_a_file_of_another_name_is_refused(done):
    (done / "models-000000004.npz").rename(done / "models-000000008.npz")
    with pytest.raises(ValueError, match="first model = 4; expected 8"):
        jl.sweep(Host(), HYPERS, chunk=CHUNK, checkpoint=done)


def test_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file, a file; expected a directory"):
        jl.sweep(Host(), HYPERS, checkpoint=tmp_path / "file")
    with pytest.raises(ValueError, match=r"checkpoint is given under jit or vmap; expected None"):
        jax.jit(lambda lr: jl.sweep(jnp.sin, lr, checkpoint=tmp_path))(HYPERS["lr"])


# ------------------------------------------------------------------ processes that are killed

MOMENTS = ("within the run", "before the rename", "after the rename")


def train(hyper):
    x = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)
    host = jax.pure_callback(
        stop_within, jax.ShapeDtypeStruct((), jnp.float32), hyper["lr"], vmap_method="sequential"
    )
    hyper = dict(hyper, lr=host)
    return jl.sgd_fit(jl.losses.squared_error, x, x[:, 0] + 1, batch_size=16, epochs=2, **hyper)


def stop():
    os.kill(os.getpid(), signal.SIGKILL)


def stop_within(lr):
    if moment == MOMENTS[0] and lr == HYPERS["lr"][5]:
        stop()
    return lr


def killed(directory):
    """A process that ends in its second chunk."""
    rename, names = os.replace, []

    def replace(old, new):
        names.append(new)
        if moment == MOMENTS[1] and len(names) == 2:
            stop()
        rename(old, new)
        if moment == MOMENTS[2] and len(names) == 2:
            stop()

    os.replace = replace
    jl.sweep(train, HYPERS, chunk=CHUNK, checkpoint=directory)


def ended(directories):
    """Whether the sweeps of all directories go on, and end as one that was never stopped."""
    expected = bits(jl.sweep(train, HYPERS, chunk=CHUNK))
    for directory in directories:
        before = [name for name in files(pathlib.Path(directory)) if name.startswith("models")]
        result = jl.sweep(train, HYPERS, chunk=CHUNK, checkpoint=directory)
        print(len(before), bits(result) == expected, float(result.report.objective.min()) > 0)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_process_that_was_killed_goes_on_in_another(tmp_path):
    directories = [str(tmp_path / moment) for moment in MOMENTS]

    def started(*arguments):
        command = [sys.executable, __file__, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    processes = [started(*each) for each in zip(MOMENTS, directories, strict=True)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 3
    printed, _ = started("", *directories).communicate()
    assert printed.splitlines() == ["1 True True", "1 True True", "2 True True"]


if __name__ == "__main__":
    moment, *places = sys.argv[1:]
    killed(*places) if moment else ended(places)
