"""The embedded sample: what it holds, where it comes from, how fast it loads."""

import timeit
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from jaxlinear.data.fashion.make_sample import sample
from jaxlinear.data.fashion.sample import PATH, fashion_mnist_sample

OFFICIAL = Path(__file__).parents[3] / "shared" / "fashion-mnist"


def test_holds_what_is_promised():
    data = fashion_mnist_sample()
    assert len(data.names) == 10
    for split, count in ((data.train, 600), (data.test, 100)):
        assert split.x.shape == (10 * count, 784)
        assert split.x.dtype == np.uint8
        assert split.y.dtype == np.int32
        assert split.weight is None
        assert np.bincount(np.asarray(split.y)).tolist() == [count] * 10


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not at hand")
def test_is_made_from_the_official_files():
    made = sample(OFFICIAL)
    with np.load(PATH, allow_pickle=False) as embedded:
        assert sorted(embedded.files) == sorted(made)
        for name, array in made.items():
            assert embedded[name].dtype == array.dtype
            np.testing.assert_array_equal(embedded[name], array)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not at hand")
def test_the_committed_script_writes_the_same_arrays(tmp_path, monkeypatch):
    module = import_module("jaxlinear.data.fashion.make_sample")
    monkeypatch.setattr(module, "PATH", tmp_path / "sample.npz")
    monkeypatch.setattr("sys.argv", ["make_sample", str(OFFICIAL)])
    module.main()
    with np.load(tmp_path / "sample.npz") as made, np.load(PATH) as embedded:
        for name in embedded.files:
            np.testing.assert_array_equal(made[name], embedded[name])


def test_is_small_and_fast():
    assert PATH.stat().st_size < 4_000_000
    fashion_mnist_sample()  # the first call starts JAX
    assert min(timeit.repeat(fashion_mnist_sample, number=1, repeat=3)) < 0.3


def test_carries_its_licence():
    notice = PATH.with_suffix(".LICENSE").read_text(encoding="utf-8")
    assert "The MIT License (MIT)" in notice
    assert "Copyright © 2017 Zalando SE, https://tech.zalando.com" in notice
