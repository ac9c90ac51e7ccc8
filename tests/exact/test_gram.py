"""Sufficient statistics against NumPy float64: how they are made, merged and fitted."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.test_util import check_grads

import jaxlinear as jl
from jaxlinear import Status, gram
from jaxlinear.exact.statistics import _ROWS, Gram

N, D, K = 24, 3, 2  # one shape for most tests: compiling takes nearly all of their time
CHUNK = 8


def statistics(x, y, weight=None):
    """The Gram by its definition, from the rows of weight > 0; one per target for weight (n, k)."""
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    if weight.ndim == 2:
        columns = zip(np.transpose(y), weight.T, strict=True)
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(statistics(x, *c) for c in columns))
    present = weight != 0
    x, y, weight = (np.asarray(rows, float)[present] for rows in (x, y, weight))
    mean_x, mean_y = weight @ x / weight.sum(), weight @ y / weight.sum()
    dx, dy = x - mean_x, y - mean_y
    return Gram(
        weight.sum(),
        present.sum(),
        mean_x,
        mean_y,
        (weight * dx.T) @ dx,
        (weight * dy.T) @ dx,
        weight @ dy**2,
    )


def assert_statistics(got, expected, eps):
    """Means right to their last digits, products to two less."""
    for name, leaf in expected._asdict().items():
        slack = eps * (4 if name.startswith("mean") else 100) * np.max(np.abs(leaf))
        np.testing.assert_allclose(getattr(got, name), leaf, rtol=0, atol=slack, err_msg=name)


def assert_identical(a, b):
    for name in Gram._fields:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def problem(n=N, d=D, outputs=(K,), offset=1.0, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + offset
    y = rng.normal(size=(n, *outputs)) + x[:, :1].reshape(n, *[1] * len(outputs)) - 2 * offset
    return x.astype(dtype), y.astype(dtype)


def some_weight(shape, seed=1):
    """Numbers in (0, 2], every fifth of them 0."""
    weight = 2 - np.random.default_rng(seed).uniform(0, 2, size=shape)
    return np.where(np.arange(weight.size).reshape(shape) % 5 == 3, 0, weight)


def with_missing(y, first=0):
    """NaN in other rows for every target, from row ``first`` on."""
    rows = np.arange(len(y))[:, None]
    return np.where((rows >= first) & (rows % 4 == np.arange(y.shape[1]) + 1), np.nan, y)


def chunks(*arrays):
    return [tuple(a[i : i + CHUNK] for a in arrays) for i in range(0, len(arrays[0]), CHUNK)]


def status(fit):
    return Status(int(fit.report.status))


class Case(NamedTuple):
    dtype: type
    outputs: tuple[int, ...] = ()
    weighted: tuple[int, ...] | None = None  # the shape of a weight after its rows
    n: int = N
    d: int = D


CASES = {
    "one": Case(np.float32),
    "one-weight": Case(np.float32, (), ()),
    "two": Case(np.float32, (K,)),
    "two-weight": Case(np.float32, (K,), ()),
    "two-weight-each": Case(np.float32, (K,), (K,)),
    "one-double": Case(np.float64),
    "two-weight-double": Case(np.float64, (K,), ()),
    "two-weight-each-double": Case(np.float64, (K,), (K,)),
    "half": Case(np.float16, (), ()),
    "bytes": Case(np.uint8, (), ()),
    "strips": Case(np.float32, n=10, d=258),  # the products in strips of 65, 65, 65 and 63
    "blocks": Case(np.float32, (K,), (), n=3 * _ROWS + 5),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_statistics_equal_the_oracle(case):
    offset = {np.uint8: 100, np.float16: 1}.get(case.dtype, 1000)
    x, y = problem(case.n, case.d, case.outputs, offset, case.dtype)
    weight = None if case.weighted is None else some_weight((case.n, *case.weighted))
    with jax.enable_x64(case.dtype == np.float64):
        got = gram.of(x, y, weight)
    dtype = np.float64 if case.dtype == np.float64 else np.float32
    assert {leaf.dtype for leaf in got} == {np.dtype(dtype)}
    scaled = x / 255 if case.dtype == np.uint8 else x
    assert_statistics(got, statistics(scaled, y, weight), np.finfo(dtype).eps)


def test_integers_and_lists_are_numbers():
    x, y = (np.rint(9 * rows).astype(np.int16) for rows in problem(outputs=()))
    weight = np.arange(N) % 3
    expected = statistics(x, y, weight)
    for data in ((x, y, weight), (x.tolist(), y.tolist(), weight.tolist())):
        assert_statistics(gram.of(*data), expected, np.finfo(np.float32).eps)


def test_weight_counts_copies(x64):
    x, y = problem()
    copies = np.arange(N) % 4
    expected = statistics(np.repeat(x, copies, 0), np.repeat(y, copies, 0))
    expected = expected._replace(count=(copies > 0).sum())
    assert_statistics(gram.of(x, y, copies), expected, np.finfo(float).eps)


@pytest.mark.parametrize("each", [(), (K,)], ids=["shared", "each"])
def test_what_has_no_weight_may_hold_anything(each, x64):
    """The first rows too, of which the guess at the means is made."""
    x, y = problem()
    weight = some_weight((N, *each))
    weight[:2] = 0
    absent = (weight == 0).reshape(N, -1)
    x[absent.all(axis=1)] = np.nan
    y = np.where(absent, np.inf, y)
    assert_statistics(gram.of(x, y, weight), statistics(x, y, weight), np.finfo(float).eps)


def in_one_go(grams):
    return jax.jit(gram.pool)(jax.tree.map(lambda *leaves: np.stack(leaves), *grams))


ORDERS = {
    "from the left": lambda a, b, c: gram.merge(gram.merge(a, b), c),
    "from the right": lambda a, b, c: gram.merge(a, gram.merge(b, c)),
    "backwards": lambda a, b, c: gram.merge(c, gram.merge(b, a)),
    "at once": lambda *grams: in_one_go(grams),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("each", [(), (K,)], ids=["shared", "each"])
def test_parts_merge_to_the_whole(each, order, x64):
    x, y = problem()
    x += np.arange(N)[:, None]  # the parts differ in their means more than inside
    weight = some_weight((N, *each))
    merged = ORDERS[order](*(gram.of(*part) for part in chunks(x, y, weight)))
    assert_statistics(merged, statistics(x, y, weight), np.finfo(float).eps)


def test_a_thousand_merges_lose_nothing():
    """In float32 and far from 0, where sums of squares as they come have no digit left."""
    x, y = problem(4000, offset=1e4, dtype=np.float32)

    @jax.jit
    def one_after_another(x, y):
        grams = jax.vmap(gram.of)(x, y)
        first, others = (
            jax.tree.map(lambda leaf, s=s: leaf[s], grams) for s in (0, slice(1, None))
        )
        return jax.lax.scan(lambda total, part: (gram.merge(total, part), None), first, others)[0]

    got = one_after_another(x.reshape(1000, 4, D), y.reshape(1000, 4, K))
    expected = statistics(x, y)
    assert (got.weight, got.count) == (4000, 4000)
    np.testing.assert_allclose(got.mean_x, expected.mean_x, rtol=1e-6)
    scale = np.sqrt(np.diagonal(expected.xx))
    assert np.abs((got.xx - expected.xx) / np.outer(scale, scale)).max() < 1e-4
    assert np.abs((got.xy - expected.xy) / np.outer(np.sqrt(expected.yy), scale)).max() < 1e-4


@pytest.mark.parametrize("each", [(), (K,)], ids=["shared", "each"])
def test_an_empty_chunk_changes_nothing(each, x64):
    x, y = problem(CHUNK)
    some = gram.of(x, y, some_weight((CHUNK, *each)))
    empty = gram.of(np.full_like(x, np.nan), np.full_like(y, np.inf), np.zeros((CHUNK, *each)))
    assert_identical(gram.merge(some, empty), some)
    assert_identical(gram.merge(empty, some), some)
    assert_identical(gram.merge(empty, empty), jax.tree.map(np.zeros_like, some))


def test_a_constant_column_has_no_spread(x64):
    """To the last digit, so that a fit sees its rank."""
    x, y = problem()
    x[:, 1] = 1e4 + 1 / 3
    weight = some_weight(N)
    first, *others = (gram.of(*part) for part in chunks(x, y, weight))
    merged = functools.reduce(gram.merge, others, first)
    for got in (gram.of(x, y, weight), merged):
        assert not np.any(got.xx[1]) and not np.any(got.xx[:, 1]) and not np.any(got.xy[:, 1])
        assert got.mean_x[1] == x[0, 1]
        assert gram.ridge(got).report.rank == D - 1


def of_chunks(x, y, weight, step=1):
    grams = [gram.of(*part) for part in chunks(x, y, weight)]
    return functools.reduce(gram.merge, grams[::step])


MISSING = {
    "nan": gram.of,
    "weight": lambda x, y, weight: gram.of(x, y, weight[:, None] * ~np.isnan(y)),
    "jit": jax.jit(lambda x, y, weight: gram.of(x, y, weight[:, None] * ~jnp.isnan(y))),
    "chunks": of_chunks,
    "chunks backwards": functools.partial(of_chunks, step=-1),
}


@pytest.mark.parametrize("way", MISSING)
def test_missing_targets_are_fitted_from_the_rows_present(way, x64):
    """They are missing in the last chunk only: the other chunks have a Gram for all targets."""
    x, y = problem()
    y, weight, l2 = with_missing(y, first=N - CHUNK), some_weight(N), np.array([0.1, 0.5])
    fit = gram.ridge(MISSING[way](x, y, weight), l2)
    for target in range(K):
        rows = ~np.isnan(y[:, target])
        known = x[rows], y[rows, target]
        w, b = oracles.ridge(*known, l2[target], weight[rows])
        np.testing.assert_allclose(fit.params.w[target], w, rtol=1e-9)
        np.testing.assert_allclose(fit.params.b[target], b, rtol=1e-9)
        value = oracles.mean_loss(oracles.squared_error, w, b, *known, weight[rows], l2[target])
        np.testing.assert_allclose(fit.report.objective[target], value, rtol=1e-9)


@pytest.mark.parametrize("of", [gram.of, jax.jit(gram.of)], ids=["eager", "jit"])
def test_one_target_may_be_missing(of, x64):
    x, y = problem(outputs=())
    y[::5] = np.nan
    present = ~np.isnan(y)
    expected = statistics(x[present], y[present])
    assert_statistics(of(x, y, present), expected, np.finfo(float).eps)
    assert_statistics(of(x, y), expected, np.finfo(float).eps)


L2S = {"none": 0.0, "one": 0.3, "each": np.array([0.0, 0.3])}


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", L2S)
def test_ridge_equals_the_oracle(l2, intercept, x64):
    x, y = problem()
    weight = some_weight(N)
    fit = gram.ridge(gram.of(x, y, weight), L2S[l2], intercept=intercept)
    value = 0
    for target, own in enumerate(np.broadcast_to(L2S[l2], K)):
        w, b = oracles.ridge(x, y[:, target], own, weight, intercept)
        np.testing.assert_allclose(fit.params.w[target], w, rtol=1e-10)
        np.testing.assert_allclose(fit.params.b[target], b, rtol=1e-10, atol=1e-300)
        value += oracles.mean_loss(oracles.squared_error, w, b, x, y[:, target], weight, own)
    np.testing.assert_allclose(fit.report.objective, value, rtol=1e-10)
    assert fit.report.gradient_norm < 1e-13
    assert (status(fit), fit.report.rank) == (Status.CONVERGED, D)


@pytest.mark.parametrize("l2", [0.0, np.zeros(K)], ids=["one", "each"])
@pytest.mark.parametrize("times", [1, 3])
def test_dependent_columns_get_the_weights_of_least_norm(times, l2, x64):
    x, y = problem()
    x[:, 2] = times * x[:, 0] + 5
    fit = gram.ridge(gram.of(x, y), l2)
    assert (status(fit), fit.report.rank) == (Status.RANK_DEFICIENT, D - 1)
    w = (np.linalg.pinv(x - x.mean(axis=0), rcond=1e-10) @ (y - y.mean(axis=0))).T
    np.testing.assert_allclose(fit.params.w, w, rtol=0, atol=1e-6)
    np.testing.assert_allclose(fit.params.b, y.mean(axis=0) - w @ x.mean(axis=0), atol=1e-5)


@jax.jit
def fit_of(x, y, weight):
    return gram.ridge(gram.of(x, y, weight), 0.1)


def test_a_gram_without_examples_is_refused():
    x, y = problem(dtype=np.float32)
    empty = gram.of(x, y, np.zeros(N))
    with pytest.raises(ValueError, match="the Gram has no examples"):
        gram.ridge(empty, 0.1)
    assert status(fit_of(x, y, np.zeros(N))) == Status.NONFINITE_INPUT


BAD = {
    "x": ((4, 1), np.nan, r"x\[4, 1\] is nan"),
    "y": ((5, 0), np.inf, r"y\[5, 0\] is inf"),
    "weight": ((6,), -1.0, r"weight\[6\] is -1"),
    "weight of a target": ((7, 1), -1.0, r"weight\[7, 1\] is -1"),
    "infinite weight": ((8,), np.inf, r"weight\[8\] is inf"),
}


def spoilt(case):
    place, value, _ = BAD[case]
    name = next(name for name in ("weight", "x", "y") if name in case)
    x, y = problem(dtype=np.float32)
    ones = np.ones((N, K) if len(place) == 2 and name == "weight" else N, np.float32)
    data = {"x": x, "y": y, "weight": ones}
    data[name][place] = value
    return data


@pytest.mark.parametrize("case", BAD)
def test_bad_examples_are_refused_by_place(case):
    with pytest.raises(ValueError, match=BAD[case][2]):
        gram.of(**spoilt(case))


def test_a_bad_target_is_refused_by_place():
    x, y = problem(outputs=(), dtype=np.float32)
    y[3] = -np.inf
    with pytest.raises(ValueError, match=r"y\[3\] is -inf"):
        gram.of(x, y)


@pytest.mark.parametrize("case", ["x", "y", "weight"])
def test_under_jit_bad_examples_are_a_status(case):
    fit = fit_of(**spoilt(case))
    assert (fit.report.status == Status.NONFINITE_INPUT).all()
    assert np.isnan(fit.params.w).all()
    assert np.isnan(fit.params.b).all()


REFUSED = {
    "features": (
        lambda x, y: gram.merge(gram.of(x, y), gram.of(x[:, :2], y)),
        r"x \(…, 3\) and y \(…, 2\) and x \(…, 2\) and y \(…, 2\)",
    ),
    "targets": (
        lambda x, y: gram.merge(gram.of(x, y), gram.of(x, y[:, 0])),
        r"y \(…, 2\) and x \(…, 3\) and y \(…\)",
    ),
    "targets of their own": (
        lambda x, y: gram.merge(gram.of(x, with_missing(y)), gram.of(x, y[:, 0])),
        r"y \(…, 2\) and x \(…, 3\) and y \(…\)",
    ),
    "weight": (
        lambda x, y: gram.of(x, y, np.ones((N, K + 1))),
        r"weight has shape \(24, 3\); expected \(24,\) or \(24, 2\)",
    ),
    "l2": (lambda x, y: gram.ridge(gram.of(x, y), [0.1] * 3), r"l2 has shape \(3,\)"),
    "negative l2": (lambda x, y: gram.ridge(gram.of(x, y), -1.0), "l2 is -1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_together_is_refused(case):
    function, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        function(*problem(dtype=np.float32))


def test_vmap_equals_a_loop(x64):
    """Also where dependent columns send one member the long way."""
    x, y = problem()
    grams = [gram.of(x, y), gram.of(x[:, [0, 1, 0]], y), gram.of(2 * x, y)]
    l2s = np.array([0.0, 0.0, 0.5])
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *grams)
    together = jax.vmap(gram.ridge)(stack, l2s)
    for i, (alone, l2) in enumerate(zip(grams, l2s, strict=True)):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-10, atol=1e-13),
            together,
            gram.ridge(alone, l2),
        )
    expected = [Status.CONVERGED, Status.RANK_DEFICIENT, Status.CONVERGED]
    assert together.report.status.tolist() == expected


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_derivatives_of_both_orders_equal_differences(mode, x64):
    x, y = problem(n=6, d=2)

    @jax.jit
    def params(x, y, l2):
        return gram.ridge(gram.of(x, y), l2).params

    check_grads(params, (x, y, 0.3), order=2, modes=[mode], atol=1e-5, rtol=1e-5, eps=1e-5)


def test_what_has_no_weight_has_no_derivative(x64):
    x, y = problem()
    weight = some_weight((N, K))
    weight[3] = 0
    absent = weight == 0

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradient(x, y):
        return jnp.sum(gram.ridge(gram.of(x, y, weight), 0.1).params.w ** 2)

    expected = gradient(x, y)
    x[3] = np.nan
    in_x, in_y = gradient(x, np.where(absent, np.nan, y))
    np.testing.assert_allclose(in_x, expected[0], rtol=1e-12)
    np.testing.assert_allclose(in_y, expected[1], rtol=1e-12)
    assert not np.any(in_x[3]) and not np.any(in_y[absent])


def generated(x, y, folder):
    return ((a, b) for a, b in chunks(x, y))


def memory_mapped(x, y, folder):
    np.save(folder / "x.npy", x)
    return chunks(np.load(folder / "x.npy", mmap_mode="r"), y)


@pytest.mark.parametrize("stream", [generated, memory_mapped])
def test_a_stream_gives_the_fit_of_all_examples(stream, tmp_path, x64):
    x, y = problem(offset=100)
    grams = (gram.of(*part) for part in stream(x, y, tmp_path))
    got = gram.ridge(functools.reduce(gram.merge, grams), 0.1).params
    expected = jl.ridge(x, y, 0.1).params
    np.testing.assert_allclose(got.w, expected.w, rtol=1e-10)
    np.testing.assert_allclose(got.b, expected.b, rtol=1e-10)
