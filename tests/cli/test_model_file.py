"""Models on disk: what is written is read, and nothing else is taken for a model."""

import jax
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.cli import model_file


@pytest.mark.parametrize("outputs", [None, 3])
def test_round_trip(tmp_path, key, outputs):
    params = jl.normal(4, outputs, key=key)
    names, features, about = ("a", "b", "ç"), ("x", "y", "z", "µ"), {"a": [1.5, None, "ü"]}
    model = model_file.Model(params, names, features, "softmax_cross_entropy", about)
    model_file.save(tmp_path / "model.npz", model)
    loaded = model_file.load(tmp_path / "model.npz")
    assert loaded[1:] == model[1:]
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def test_readable_by_numpy_without_pickle(tmp_path):
    model_file.save(tmp_path / "model.npz", model_file.Model(jl.zeros(4)))
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"w", "b", "names", "features", "loss", "about"}


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a model"):
        model_file.load(path)
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(ValueError, match="not a model"):
        model_file.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        model_file.load(tmp_path / "absent.npz")


def test_a_truncated_model_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    model_file.save(path, model_file.Model(jl.zeros(400)))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="not a model"):
            model_file.load(path)
