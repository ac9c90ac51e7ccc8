"""Trees of arrays in files: they come back bit by bit, or are refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.files import trees

ABOUT = {"models": "3", "run": "of the test"}


def tree():
    return {
        "params": jl.Linear(jnp.array([[1.0, np.nan, -0.0]] * 3), jnp.arange(3.0)),
        "half": jnp.array([1.5, 2.5], jnp.bfloat16),
        "nothing": None,
        "keys": (jax.random.split(jax.random.key(1), 3), jax.random.key(2, impl="rbg")),
        "counts": [np.arange(4, dtype=np.uint8), jnp.zeros((0, 2), bool), np.float64(0.1)],
    }


def bits(leaf):
    leaf = (
        jax.random.key_data(leaf)
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else leaf
    )
    return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tree.npz"
    trees.write(path, tree(), ABOUT)
    return path


def test_what_is_written_comes_back_bit_by_bit(path):
    back = trees.read(path, jax.eval_shape(tree) | {"counts": tree()["counts"]}, ABOUT)
    assert jax.tree.structure(back) == jax.tree.structure(tree())
    assert jax.tree.map(bits, back) == jax.tree.map(bits, tree())
    assert back["keys"][1].dtype == tree()["keys"][1].dtype
    assert trees.about(path).items() >= ABOUT.items()
    assert [file.name for file in path.parent.iterdir()] == ["tree.npz"]


def test_numpy_reads_the_file_without_pickle(path):
    with np.load(path, allow_pickle=False) as arrays:
        assert len(arrays.files) == 1 + len(jax.tree.leaves(tree()))


def test_no_byte_may_change(path):
    content = path.read_bytes()
    for place in {0, 30, len(content) // 2, len(content) - 40, len(content) - 1}:
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"tree.npz is damaged: .* Remove the file"):
            trees.read(path, tree(), ABOUT)
    for part in (b"", content[:10], content[:-1], b"not ours" * 20):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=rf"damaged: its {len(part):,} bytes"):
            trees.about(path)


OTHERS = {
    "about": (lambda t: t, ABOUT | {"models": "4"}, r"models = 3; expected 4\. Call as when"),
    "less about": (lambda t: t, {"models": "3"}, r"run = of the test; expected nothing"),
    "more about": (lambda t: t, ABOUT | {"x": "1"}, r"for x = nothing; expected 1"),
    "shape": (lambda t: t | {"half": t["half"][:1]}, ABOUT, r"\['half'\] = bfloat16\[2\]; .*\[1\]"),
    "dtype": (
        lambda t: t | {"half": t["half"].astype(jnp.float16)},
        ABOUT,
        r"result\['half'\] = bfloat16\[2\]; expected float16\[2\]",
    ),
    "kind of key": (
        lambda t: t | {"keys": (t["keys"][0], jax.random.key(2))},
        ABOUT,
        r"result\['keys'\]\[1\] = key<rbg>\[\]; expected key<fry>\[\]",
    ),
    "structure": (lambda t: t | {"nothing": t["half"]}, ABOUT, r"structure of result = PyTree"),
    "another tuple": (lambda t: t | {"params": tuple(t["params"])}, ABOUT, r"structure of result"),
}


@pytest.mark.parametrize("other, about, message", OTHERS.values(), ids=OTHERS)
def test_another_tree_is_refused(path, other, about, message):
    with pytest.raises(ValueError, match=message):
        trees.read(path, other(tree()), about)


def test_a_file_that_could_not_be_written_leaves_the_old_one(path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        trees.write(path, tree(), ABOUT)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def test_digests_tell_bytes_apart():
    keys = jax.random.key(0), jax.random.key(1)
    assert len({trees.digest(each) for each in (*keys, jnp.ones(2), -jnp.zeros(2))}) == 4
    assert trees.digest(np.ones((3, 2)).T) == trees.digest(np.ones((2, 3)))
    assert trees.without_addresses(repr(tree)) == "<function tree>"
