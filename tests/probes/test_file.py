"""Probes on disk: what is written is read, and nothing else is taken for probes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear import probes
from jaxlinear.model.scaling import Scaling
from jaxlinear.types import Fit, Linear, Report

rng = np.random.default_rng(0)


def made(layers, k, d=4, n=20, dtype=np.float32):
    """Probes of any shape, without a fit."""

    def of(*shape):
        return rng.normal(size=(*layers, *shape)).astype(dtype)

    report = Report(
        *(np.zeros((*layers, *k), np.int32) for _ in range(2)), of(*k), of(*k), gap=of(*k)
    )
    fit = Fit(Linear(of(*k, d), of(*k)), report)
    return probes.Probes(fit, Scaling(of(d), of(d)), of(*k), of(9, *k), of(n, *k))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_thousand_probes_come_back(tmp_path, dtype):
    names = tuple(f"concept {i}" for i in range(100))
    saved = probes.Saved(made((10,), (100,), dtype=dtype), names, tuple("abcdefghij"), "logistic")
    probes.save(tmp_path / "probes.npz", saved)
    loaded = probes.load(tmp_path / "probes.npz")
    assert loaded[1:] == saved[1:] and loaded.probes.outputs.shape == (10, 0, 100)
    whole = loaded.probes._replace(outputs=saved.probes.outputs)
    jax.tree.map(np.testing.assert_array_equal, whole, saved.probes)
    assert whole.fit.params.w.dtype == dtype
    with np.load(tmp_path / "probes.npz", allow_pickle=False) as arrays:
        assert arrays["0/w"].shape == (10, 100, 4)


def test_layers_of_different_widths_and_outputs_come_back(tmp_path):
    layers = {"embedding": made((), (), 3), "layer/ä": made((2,), (), 5), "last": made((), (2,))}
    probes.save(tmp_path / "probes.npz", probes.Saved(layers), outputs=True)
    loaded = probes.load(tmp_path / "probes.npz").probes
    assert list(loaded) == list(layers)
    jax.tree.map(np.testing.assert_array_equal, loaded, layers)
    probes.save(tmp_path / "probes.npz", probes.Saved(jax.tree.map(jnp.bfloat16, made((2,), ()))))
    assert probes.load(tmp_path / "probes.npz").probes.fit.params.w.dtype == np.float32


def test_other_files_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "probes.npz"
    with pytest.raises(FileNotFoundError, match=r"probes.npz does not exist; expected a file that"):
        probes.load(path)
    for content in (b"", b"hello", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"probes.npz does not hold probes"):
            probes.load(path)
    np.savez(path, w=np.ones(3))
    with pytest.raises(ValueError, match="it has another format"):
        probes.load(path)
    probes.save(path, probes.Saved(made((2,), (3,))))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="does not hold probes"):
            probes.load(path)
    place = whole.index(b"0/w.npy") + 200  # among the numbers, of which zip keeps a checksum
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ValueError, match="does not hold probes"):
        probes.load(path)


def test_names_are_as_many_as_what_they_name(tmp_path):
    for saved, message in (
        (probes.Saved(made((2,), (3,)), ("a",)), "concepts has 1 names; expected 3"),
        (probes.Saved(made((2,), (3,)), layers=("a",)), "layers has 1 names; expected 2"),
        (probes.Saved(made((), (3,)), layers=("a",)), "layers has 1 names; expected none"),
    ):
        with pytest.raises(ValueError, match=message):
            probes.save(tmp_path / "probes.npz", saved)
    assert not list(tmp_path.iterdir())
