"""The newest file and the one before it: the old state or the new one, whatever happens."""

import os
import pathlib
import random
import resource
import select
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from jaxlinear.files import trees, versions

ABOUT = {"made of": "nothing"}
LIKE = {"step": np.zeros((), np.int64), "w": np.zeros(300, np.float32)}


def state(step):
    w = np.random.default_rng(step).normal(size=300).astype(np.float32)
    return {"step": np.asarray(step), "w": w}


def held(path):
    """The step whose state is there, to the last bit; no third state is taken for one."""
    found = trees.read(path, LIKE, ABOUT)
    expected = state(int(found["step"]))
    assert all(found[name].tobytes() == expected[name].tobytes() for name in LIKE)
    return int(found["step"])


@pytest.fixture
def two(tmp_path):
    path = tmp_path / "run"
    for step in (1, 2):
        versions.write(path, state(step), ABOUT)
    return path


def names(path):
    return sorted(each.name for each in path.parent.iterdir())


def test_the_newest_and_the_one_before(two):
    assert held(two) == 2 and held(versions.previous(two)) == 1
    assert versions.recovered(two) and held(two) == 2
    assert names(two) == ["run", "run.previous"]


def test_nothing_is_there(tmp_path):
    assert not versions.recovered(tmp_path / "run")
    assert not versions.recovered(tmp_path / "absent" / "run")


def test_between_the_two_renamings(two):
    two.unlink()
    assert versions.recovered(two) and held(two) == 1


def test_leftovers_are_removed_and_nothing_else(two):
    (two.parent / ".run.0123abcd.tmp").write_bytes(b"begun")
    (two.parent / ".runner.0123abcd.tmp").write_bytes(b"of another")
    versions.recovered(two)
    assert names(two) == [".runner.0123abcd.tmp", "run", "run.previous"]


def damaged(whole, generator):
    """The bytes with one of them changed, or cut off somewhere, or with more at the end."""
    place = generator.randrange(len(whole))
    kind = generator.choice(["flip", "flip", "cut", "more"])
    if kind == "cut":
        return whole[:place]
    if kind == "more":
        return whole + bytes(1 + place % 50)
    return whole[:place] + bytes([whole[place] ^ generator.randrange(1, 256)]) + whole[place + 1 :]


@pytest.mark.parametrize("times", [100, pytest.param(500, marks=pytest.mark.full)])
def test_damages_of_the_newest_file(two, times):
    """Of any byte: the previous one takes its place, and it is said."""
    generator, older = random.Random(0), versions.previous(two)
    newest, before = two.read_bytes(), older.read_bytes()
    for _ in range(times):
        two.write_bytes(damaged(newest, generator))
        older.write_bytes(before)
        with pytest.warns(UserWarning, match=r"run is damaged; the previous one, run\.previous"):
            assert versions.recovered(two)
        assert held(two) == 1


def test_both_are_damaged(two):
    generator, older = random.Random(1), versions.previous(two)
    newest, before = two.read_bytes(), older.read_bytes()
    for _ in range(50):
        two.write_bytes(damaged(newest, generator))
        older.write_bytes(damaged(before, generator))
        with pytest.raises(trees.DamagedError, match=r"is damaged.*Nor is there a sound run\.prev"):
            versions.recovered(two)
    older.unlink()
    with pytest.raises(trees.DamagedError, match="is damaged"):
        versions.recovered(two)
    assert two.exists()


@pytest.mark.skipif(os.name != "posix", reason="limits of processes")
@pytest.mark.parametrize("size", [0, 1, 500, 1500])
def test_a_full_disk(two, size):
    """Neither version is touched, nothing is left behind, and the next write goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(OSError, match="large"):
            versions.write(two, state(3), ABOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert held(two) == 2 and held(versions.previous(two)) == 1
    assert names(two) == ["run", "run.previous"]
    versions.write(two, state(3), ABOUT)
    assert held(two) == 3 and held(versions.previous(two)) == 2


def writes(path, first, done):
    """A process that writes one state after another, and tells of each that is written."""
    for step in range(first, 2**31):
        versions.write(path, state(step), ABOUT)
        os.write(done, step.to_bytes(4, "big"))


def killed(path, generator):
    """A process that is killed at a random moment; the last step that it had written."""
    first = held(path) + 1 if versions.recovered(path) else 1
    told, done = os.pipe()
    process = os.fork()
    if not process:
        writes(path, first, done)
    select.select([told], [], [], 10)  # its first write
    time.sleep(generator.uniform(0, 0.01))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(done)
    with os.fdopen(told, "rb") as pipe:
        written = pipe.read()
    return int.from_bytes(written[-4:], "big")


def kill_again_and_again(path, kills):
    """In a process whose JAX has no threads yet, so that it may be forked."""
    warnings.simplefilter("ignore")
    generator, begun = random.Random(2), 0
    for _ in range(kills):
        last = killed(path, generator)
        begun += len(names(path)) > 2
        assert versions.recovered(path)
        assert held(path) in (last, last + 1)
    print({*names(path)} <= {"run", "run.previous"}, begun > 0, held(path) >= kills)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.full)])
def test_kills_at_random_moments(tmp_path, kills):
    command = [sys.executable, __file__, str(tmp_path / "run"), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "True True True\n", done.stderr


if __name__ == "__main__":
    kill_again_and_again(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
