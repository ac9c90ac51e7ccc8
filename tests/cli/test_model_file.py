"""Models on disk: what is written is read, and nothing else is taken for a model."""

import csv
import random
import sys

import jax
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.__main__ import main
from jaxlinear.cli import model_file

FORMATS = ("npz", "safetensors")
OUTPUTS = {"one": (), "classes": (3,), "one column": (1,), "a stack": (5, 3)}


def made(outputs, dtype=np.float64):
    generator = np.random.default_rng(0)
    params = jl.Linear(
        generator.normal(size=(*outputs, 4)).astype(dtype),
        np.asarray(generator.normal(size=outputs), dtype),
    )
    about = {"a": [1.5, None, "ü"], "decided": {"columns": [{"name": "µ", "levels": ["x", "ç"]}]}}
    names, features = ("a", "b", "ç"), ("x", "y", "z", "µ")
    return model_file.Model(params, names, features, "softmax_cross_entropy", about)


@pytest.mark.parametrize("outputs", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("kind", FORMATS)
def test_round_trip(tmp_path, outputs, kind):
    for dtype in (np.float32, np.float64, np.float16):
        model = made(outputs, dtype)
        model_file.save(tmp_path / f"model.{kind}", model)
        loaded = model_file.load(tmp_path / f"model.{kind}")
        assert loaded[1:] == model[1:]
        for got, expected in zip(loaded.params, model.params, strict=True):
            assert got.dtype == dtype and got.shape == expected.shape
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", FORMATS)
def test_errors_of_parameters_and_half_precision(tmp_path, kind):
    covariance = np.random.default_rng(1).normal(size=(5, 5)) * 1e-9
    model = made(())._replace(covariance=covariance, noise=0.25)
    model_file.save(tmp_path / f"model.{kind}", model)
    loaded = model_file.load(tmp_path / f"model.{kind}")
    np.testing.assert_array_equal(loaded.covariance, covariance)
    assert loaded.noise == 0.25
    half = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, jax.numpy.bfloat16), model.params)
    model_file.save(tmp_path / f"model.{kind}", half)
    loaded = model_file.load(tmp_path / f"model.{kind}").params
    assert loaded.w.dtype == np.float32
    np.testing.assert_array_equal(loaded.w, np.asarray(half.w, np.float32))


@pytest.mark.parametrize("kind", FORMATS)
def test_parameters_and_fits_are_saved_as_they_are(tmp_path, kind):
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    fit = jl.least_squares(x, x[:, :2])
    for saved in (fit, fit.params):
        model_file.save(str(tmp_path / f"model.{kind}"), saved)
        loaded = model_file.load(tmp_path / f"model.{kind}")
        jax.tree.map(np.testing.assert_array_equal, loaded.params, fit.params)
        assert loaded[1:] == model_file.Model(fit.params)[1:]


def test_readable_by_numpy_without_pickle(tmp_path):
    model_file.save(tmp_path / "model.npz", model_file.Model(jl.zeros(4)))
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"w", "b", "names", "features", "loss", "about"}


@pytest.mark.parametrize("outputs", OUTPUTS.values(), ids=OUTPUTS)
def test_safetensors_alone_reads_what_torch_calls_weight_and_bias(tmp_path, outputs):
    library = pytest.importorskip("safetensors.numpy")
    model = made(outputs)
    model_file.save(tmp_path / "model.safetensors", model)
    arrays = library.load_file(tmp_path / "model.safetensors")
    shape = outputs or (1,)
    assert {name: each.shape for name, each in arrays.items()} == {
        "weight": (*shape, 4),
        "bias": shape,
    }
    np.testing.assert_array_equal(arrays["weight"].reshape(model.params.w.shape), model.params.w)


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_torch_takes_the_file_strictly(tmp_path, outputs):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    model = made(outputs, np.float32)._replace(covariance=np.eye(5), noise=1.0)
    params = model.params
    model_file.save(tmp_path / "model.safetensors", model)
    layer = torch.nn.Linear(4, max(outputs, default=1))
    layer.load_state_dict(library.load_file(tmp_path / "model.safetensors"))
    x = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    got = layer(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(got.reshape(6, *outputs), jl.predict(params, x), rtol=1e-5)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off", b"12345678{}", b"{" * 9])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="npz is not a model"):
        model_file.load(path)


def test_other_arrays_are_refused(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    model = made(())
    model_file.save(tmp_path / "wrong.npz", model._replace(params=jl.Linear(np.eye(3), np.ones(2))))
    state = {"weight": np.ones((3, 4)), "bias": np.ones(3)}
    library.save_file(state, tmp_path / "torch.safetensors")
    library.save_file({}, tmp_path / "empty.safetensors", {"sha256": "0"})
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=f"{path.name} is not a model"):
            model_file.load(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        model_file.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_model_is_refused(tmp_path, kind):
    path = tmp_path / f"model.{kind}"
    model_file.save(path, model_file.Model(jl.zeros(400)))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="not a model"):
            model_file.load(path)


def test_500_bytes_that_changed(tmp_path):
    """Of safetensors, which has no checksum of its own: the model, or an error, never another."""
    path, generator, refused = tmp_path / "model.safetensors", random.Random(0), 0
    model = made((3,))
    model_file.save(path, model)
    whole = path.read_bytes()
    for _ in range(500):
        place = generator.randrange(len(whole))
        changed = bytes([whole[place] ^ generator.randrange(1, 256)])
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        try:
            loaded = model_file.load(path)
        except ValueError as error:
            assert "model.safetensors is not a model" in str(error)
            refused += 1
        else:  # a space between entries
            assert loaded[1:] == model[1:]
            jax.tree.map(np.testing.assert_array_equal, loaded.params, model.params)
    assert refused > 490


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxlinear\[safetensors\]'"):
        model_file.save(tmp_path / "model.safetensors", jl.zeros(4))
    assert not list(tmp_path.iterdir())


# The command line


def test_the_command_line_reads_both_by_their_content(tmp_path, capsys):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 3))
    table = np.column_stack([x, x @ [1, 2, 3] + 4 + generator.normal(size=60)])
    path = tmp_path / "data.csv"
    np.savetxt(path, table, delimiter=",", header="a,b,c,price", comments="")
    told = {}
    for kind in FORMATS:
        out = tmp_path / kind
        arguments = ["--l2", "0", "--no-plots", "--model-format", kind, "--out", str(out)]
        assert not main(["train", "--dataset", str(path), "--target", "price", *arguments])
        assert f"Saved model.{kind}, report.json" in capsys.readouterr().out
        renamed = (out / f"model.{kind}").rename(out / "renamed")
        shown = [main(["show", str(renamed)]), capsys.readouterr().out]
        told[kind] = [*shown, main(["predict", str(renamed), str(path)]), capsys.readouterr().out]
    assert told["npz"] == told["safetensors"]
    rows = list(csv.DictReader(told["npz"][3].splitlines()))
    got = [float(row["prediction"]) for row in rows]
    np.testing.assert_allclose(got, table[:, 3], atol=4)
    assert float(rows[0]["low"]) < got[0] < float(rows[0]["high"])


def test_what_a_command_cannot_use_is_one_line(tmp_path, capsys):
    model_file.save(tmp_path / "stack.npz", made((5, 3)).params)
    model_file.save(tmp_path / "plain.npz", made((3,)).params)
    for arguments, message in (
        (["show", "stack.npz"], "holds a stack of models"),
        (["predict", "stack.npz", "sample"], "holds a stack of models"),
        (["predict", "plain.npz", "sample"], "names no loss"),
    ):
        assert main([arguments[0], str(tmp_path / arguments[1]), *arguments[2:]]) == 1
        assert message in capsys.readouterr().err
    assert main(["show", str(tmp_path / "plain.npz")]) == 0
