"""Arrays of any library are read alike, and no digit is lost between them and a fit in silence."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import sparse

import jaxlinear as jl
from jaxlinear import losses
from jaxlinear.checks import digits

KEY = jax.random.key(0)
N = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)).astype(np.float32)
Y = (X @ [1.0, -2.0] + 3).astype(np.float32)
LABELS = (np.arange(N) % 3 > 0).astype(np.int64)
WEIGHT = np.ones(N, np.float32)
HELD_OUT = np.arange(N) % 4 == 0
FOLDS = np.float32(np.arange(N)[None] % 3 != np.arange(3)[:, None])
LINE = jl.Linear(np.float32([1.0, -2.0]), np.float32(3.0))
SQUARED = losses.squared_error

# name: a call with features x, targets y, labels and weights, and what it gives
CALLS = {
    "least_squares": lambda x, y, c, w: jl.least_squares(x, y, weight=w).params,
    "ridge_path": lambda x, y, c, w: jl.ridge_path(x, y, [0.1], weight=w).params,
    "ridge_cv": lambda x, y, c, w: jl.ridge_cv(x, y, [0.1], weight=w).scores,
    "glm": lambda x, y, c, w: jl.glm(SQUARED, x, y, 0.1, weight=w, offset=w).params,
    "glm_path": lambda x, y, c, w: jl.glm_path(SQUARED, x, y, [0.1], weight=w, offset=w).params,
    "glm_cv": lambda x, y, c, w: jl.glm_cv(SQUARED, x, y, [0.1], FOLDS, weight=w).scores,
    "linear_probe": lambda x, y, c, w: jl.linear_probe(x, c, HELD_OUT, [0.1], weight=w).scores,
    "sgd_fit": lambda x, y, c, w: (
        jl.sgd_fit(
            SQUARED, x, y, key=KEY, lr=0.1, epochs=1, weight=w, validation=jl.Batch(x, y, w)
        ).params
    ),
    "gram.of": lambda x, y, c, w: jl.gram.of(x, y, w),
    "of_least_squares": lambda x, y, c, w: jl.inference.of_least_squares(LINE, x, y, weight=w),
    "of_glm": lambda x, y, c, w: jl.inference.of_glm(SQUARED, LINE, x, y, weight=w),
    "predict": lambda x, y, c, w: jl.predict(LINE, x),
    "labels": lambda x, y, c, w: jl.labels(LINE, x),
    "probabilities": lambda x, y, c, w: jl.probabilities(LINE, x),
    "stratified_k_fold": lambda x, y, c, w: jl.resample.stratified_k_fold(KEY, c, 3),
    "leave_one_group_out": lambda x, y, c, w: jl.resample.leave_one_group_out(c),
    "pad_groups": lambda x, y, c, w: jl.resample.pad_groups(c, x, y, w)[1],
    "batches": lambda x, y, c, w: next(jl.data.batches(KEY, jl.Batch(x, y, w), 8)),
    "over_examples": lambda x, y, c, w: jl.sharding.over_examples(
        jl.sharding.mesh(), jl.Batch(x, y, w)
    ),
    "sweep": lambda x, y, c, w: jl.sweep(_double, jl.grid(weight=w)),
}
FITS = [name for name in CALLS if name not in ("predict", "labels", "probabilities", "sweep")]
OF_X = [name for name in CALLS if name not in ("stratified_k_fold", "leave_one_group_out", "sweep")]


def _double(hyper):
    return 2 * hyper["weight"]


class Array:
    """What only NumPy's protocol tells of."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


class Capsule:
    """What only DLPack tells of."""

    def __init__(self, values):
        self.values = np.array(values)

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Table:
    """A table of columns, whose common dtype is object, as it is for numbers beside true/false."""

    def __init__(self, columns):
        self.table = columns
        self.columns = list(columns)

    def items(self):
        return self.table.items()

    def __array__(self, dtype=None, copy=None):
        return np.stack([np.asarray(column, object) for column in self.table.values()], axis=1)


def _of_torch(values):
    return pytest.importorskip("torch").tensor(values)


def _of_pandas(values):
    pandas = pytest.importorskip("pandas")
    index = range(100, 100 + len(values))  # labels of rows, which are not their numbers
    of = pandas.DataFrame if values.ndim == 2 else pandas.Series
    return of(values, index=index).convert_dtypes()


def _of_polars(values):
    polars = pytest.importorskip("polars")
    return polars.DataFrame(values) if values.ndim == 2 else polars.Series(values)


READ = {
    "list": lambda values: values.tolist(),
    "__array__": Array,
    "DLPack": Capsule,
    "other byte order": lambda values: values.astype(values.dtype.newbyteorder(">")),
    "long double": lambda values: values.astype(
        np.longdouble if values.ndim == 2 else values.dtype
    ),
    "Fortran order": np.asfortranarray,
    "mask of none": np.ma.asarray,
    "torch": _of_torch,
    "pandas": _of_pandas,
    "polars": _of_polars,
}


@pytest.fixture(scope="module")
def expected():
    return {name: jax.device_get(call(X, Y, LABELS, WEIGHT)) for name, call in CALLS.items()}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.full
def test_arrays_of_any_library_are_read_alike(kind, expected):
    arrays = [READ[kind](values) for values in (X, Y, LABELS, WEIGHT)]
    for name, call in CALLS.items():
        jax.tree.map(np.testing.assert_array_equal, call(*arrays), expected[name])


def test_a_table_of_numbers_beside_true_and_false_is_read_by_columns():
    flags = X[:, 1] > 0
    got = jl.predict(LINE, Table({"a": X[:, 0], "b": flags}))
    np.testing.assert_array_equal(got, jl.predict(LINE, np.stack([X[:, 0], flags], axis=1)))


def test_bfloat16_of_torch_comes_by_dlpack():
    torch = pytest.importorskip("torch")
    got = jl.predict(LINE, torch.tensor(X).bfloat16())
    np.testing.assert_array_equal(got, jl.predict(LINE, jnp.asarray(X, jnp.bfloat16)))


class Sparse:
    """As those of SciPy, of which the library knows no more."""

    shape, dtype = (200_000, 50_000), np.dtype(np.float32)

    def toarray(self):
        raise AssertionError("made dense")


DAYS = np.datetime64("2026-01-01") + np.arange(N)
UNREADABLE = {
    # name: x, and what is said of it
    "sparse": (Sparse(), r"sparse Sparse of shape \(200000, 50000\).*40 GB.*x\.toarray\(\)"),
    "BCOO": (sparse.BCOO.fromdense(jnp.asarray(X)), r"sparse BCOO.*x\.todense\(\)"),
    "BCSR": (sparse.BCSR.fromdense(jnp.asarray(X)), r"sparse BCSR.*x\.todense\(\)"),
    "masked": (np.ma.masked_greater(X, 1), r"x has masked entries.*weight 0"),
    "dates": (np.stack([DAYS, DAYS], axis=1), r"x has dtype datetime64.*from an origin"),
    "durations": (np.stack([DAYS, DAYS], axis=1) - DAYS[0], r"x has dtype timedelta64"),
    "complex": (X + 1j, r"x has dtype complex.*x\.real"),
    "named columns": (np.zeros(N, [("a", "f4"), ("b", "f4")]), "structured_to_unstructured"),
    "words in a table": (Table({"a": X[:, 0], "b": ["u"] * N}), r"x\['b'\] has dtype <U1"),
    "nothing in a table": (Table({"a": X[:, 0], "b": [None] * N}), r"x\['b'\].*None at \[0\]"),
    "ragged": ([[1.0, 2.0], [3.0]], "x is a list that cannot be read as numbers"),
    "keys": (jax.random.split(KEY, (N, 2)), r"x has dtype key"),
    "8 bits": (jnp.asarray(X, jnp.float8_e4m3fn), "x has dtype float8"),
}


@pytest.mark.parametrize("name", OF_X)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_array_of_numbers_is_refused_by_name(kind, name):
    x, message = UNREADABLE[kind]
    with pytest.raises((TypeError, ValueError), match=message):
        CALLS[name](x, Y, LABELS, WEIGHT)


def test_a_tensor_that_requires_grad_is_refused_by_name():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x is a Tensor that cannot.*detach"):
        jl.least_squares(torch.tensor(X, requires_grad=True), Y)


SECONDS = 1_700_000_000 + 10 * np.arange(N)
BLURRED = {
    "float64": np.float64(SECONDS),
    "int64": SECONDS,
    "uint64": np.uint64(SECONDS),
    "int32 on the device": jnp.asarray(np.int32(SECONDS)),
    "ids near 1e18": 10**18 + np.arange(N),
    "beside garbage of weight 0": np.r_[SECONDS[:-1], 0.5],
}
_LAST_ABSENT = np.r_[WEIGHT[:-1], 0]


def _absent(kind):
    return _LAST_ABSENT if "weight 0" in kind else WEIGHT


@pytest.mark.parametrize("kind", BLURRED)
@pytest.mark.parametrize("name", [name for name in FITS if name in OF_X])
def test_features_that_float32_cannot_tell_apart_are_refused(name, kind):
    x, y = BLURRED[kind][:, None], Y
    if name in ("batches", "over_examples", "pad_groups") and x.dtype.kind != "f":
        return  # which keep integers as integers
    with pytest.raises(
        ValueError, match=r"x(\[:, 0\].*)? runs from 1.*float32.*origin.*enable_x64"
    ):
        CALLS[name](x, y, LABELS, _absent(kind))


@pytest.mark.parametrize("kind", BLURRED)
@pytest.mark.parametrize(
    "name", ["least_squares", "glm", "ridge_cv", "glm_cv", "sgd_fit", "gram.of"]
)
def test_targets_that_float32_cannot_tell_apart_are_refused(name, kind):
    with pytest.raises(ValueError, match=r"y runs from 1.*float32"):
        CALLS[name](X, BLURRED[kind], LABELS, _absent(kind))


def test_of_many_targets_the_column_is_named():
    y = np.stack([Y, np.float64(SECONDS)], axis=1)
    with pytest.raises(ValueError, match=r"y\[:, 1\] runs from"):
        jl.least_squares(X, y)


def test_offsets_that_float32_cannot_tell_apart_are_refused():
    with pytest.raises(ValueError, match="offset runs from 1"):
        jl.poisson_regression(X, LABELS, offset=SECONDS)


def test_integers_larger_than_the_dtype_of_a_batch_are_refused():
    with pytest.raises(ValueError, match="x holds 1099511627776, which int32 cannot hold"):
        next(jl.data.batches(KEY, jl.Batch(2**40 + np.arange(N)[:, None], Y), 8))


def test_a_group_is_a_fit_of_its_own():
    seconds = SECONDS + 10**6 * LABELS  # far apart by groups, and near each other in each
    jl.least_squares(seconds[:, None], Y)
    with pytest.raises(ValueError, match=r"x\[:, 0\] of the group 0 runs from"):
        jl.resample.pad_groups(LABELS, np.float64(seconds)[:, None], Y)


@pytest.mark.parametrize("arguments", [(SECONDS[:, None], Y), (X, SECONDS)], ids=["x", "y"])
def test_under_jit_integers_that_would_be_blurred_are_a_status(arguments):
    fit = jax.jit(jl.least_squares)(*arguments)
    assert fit.report.status == jl.Status.NONFINITE_INPUT
    assert np.isnan(fit.params.w).all()


KEPT = {
    "a constant of 0.1": np.full(N, 0.1) + 1.4e-17 * RNG.integers(-1, 2, N),
    "a large constant": np.full(N, 10**9 + 1),
    "years": 1990 + np.arange(N),
    "weeks in seconds": 1_700_000_000 + 604_800 * np.arange(N),
    "hashes": RNG.integers(0, 2**62, N),
    "rare": np.float64(np.arange(N) == 7),
    "true and false": X[:, 0] > 0,
    "int8": np.int8(30 * X[:, 0]),
    "seconds whose digits do not matter": np.float32(SECONDS),
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_float32_can_tell_apart_is_kept(kind):
    x = KEPT[kind][:, None]
    digits.require(x, "x", np.float32)
    np.testing.assert_array_equal(jl.gram.of(x, Y).mean_y, jl.gram.of(X, Y).mean_y)


def test_bytes_stay_bytes():
    x = RNG.integers(0, 256, (N, 2)).astype(np.uint8)
    got = jl.least_squares(x, Y).params
    np.testing.assert_allclose(got.w, jl.least_squares(x / 255, Y).params.w, rtol=1e-4)


def test_float64_keeps_seconds(x64):
    seconds = SECONDS.astype(float)
    fit = jl.least_squares(seconds[:, None], 0.5 * (seconds - seconds[0]) + 3)
    np.testing.assert_allclose(fit.params.w, [0.5], rtol=1e-9)


def test_rows_that_are_not_fitted_need_no_spread():
    """Of one row there is none; and rounded, it is as right as the outputs are."""
    seconds = np.float64(SECONDS)[:, None]
    rate = jl.Linear(np.float32([1e-3]), np.float32(0))
    np.testing.assert_allclose(jl.predict(rate, seconds), 1e-3 * seconds[:, 0], rtol=1e-6)
    x = np.r_[seconds, [[0.0]]]
    fit = jl.sgd_fit(
        SQUARED, x, np.r_[Y, 0], key=KEY, lr=1e-20, epochs=1, validation=jl.Batch(seconds, Y)
    )
    assert fit.validation["loss"].shape == (1,)


def test_a_sample_clears_columns_and_hides_nothing():
    n = 50_000
    x = np.random.default_rng(1).normal(size=(n, 4))
    x[:, 1] = 0
    x[7, 1] = 1  # in no sample
    x[:, 2] = 1e9 + np.arange(n) % 9
    x[:, 3] = 1e9
    x[11, 3] = 0
    for column in (0, 1, 3):
        digits.require(x[:, [column]], "x", np.float32)
    with pytest.raises(ValueError, match=r"x\[:, 2\] runs from"):
        digits.require(x, "x", np.float32)


BEYOND = {
    "x": (lambda: jl.least_squares(_with(X, 1e300), Y), r"x\[0, 0\] is 1e\+300"),
    "x of glm": (lambda: jl.glm(SQUARED, _with(X, -1e300), Y), r"x\[0, 0\] is -1e\+300"),
    "x to predict": (lambda: jl.predict(LINE, _with(X, 1e300)), r"x\[0, 0\] is 1e\+300"),
    "x of a Gram": (lambda: jl.gram.of(_with(X, 1e300), Y), r"x\[0, 0\] is 1e\+300"),
    "y": (lambda: jl.least_squares(X, _with(Y, 1e300)), r"y\[0\] is 1e\+300"),
    "y (n, k)": (lambda: jl.least_squares(X, _with(X, 1e300)), r"y\[0, 0\] is 1e\+300"),
    "y of a Gram": (lambda: jl.gram.of(X, _with(Y, 1e300)), r"y\[0\] is 1e\+300"),
    "weight": (lambda: jl.least_squares(X, Y, weight=_with(Y, 1e300)), r"weight\[0\] is 1e\+300"),
    "a weight that would be 0": (
        lambda: jl.least_squares(X, Y, weight=_with(WEIGHT, 1e-300)), r"weight\[0\] is 1e-300",
    ),
    "offset": (
        lambda: jl.glm(SQUARED, X, Y, offset=_with(Y, 1e300)), r"offset\[0\] is 1e\+300",
    ),
    "l2": (lambda: jl.ridge(X, Y, 1e300), r"l2 is 1e\+300"),
}  # fmt: skip


def _with(values, number):
    values = np.array(values, np.float64)
    values.flat[0] = number
    return values


@pytest.mark.parametrize("call, message", BEYOND.values(), ids=BEYOND)
def test_a_finite_number_that_the_dtype_cannot_hold_is_not_called_inf(call, message):
    with pytest.raises(ValueError, match=message + ", which float32 cannot hold"):
        call()


HALVES = [jnp.bfloat16, jnp.float16]


@pytest.mark.parametrize("dtype", HALVES, ids=["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["least_squares", "ridge", "glm", "ridge_path", "gram"])
def test_targets_are_not_rounded_to_the_half_precision_of_x(name, dtype):
    fit = {
        "least_squares": jl.least_squares,
        "ridge": lambda x, y: jl.ridge(x, y, 0.0),
        "glm": lambda x, y: jl.glm(SQUARED, x, y),
        "ridge_path": lambda x, y: jl.ridge_path(x, y, [0.0]),
        "gram": lambda x, y: jl.gram.ridge(jl.gram.of(x, y)),
    }[name]
    counts = np.arange(8.0)
    fitted = fit(jnp.asarray(counts[:, None], dtype), 1000 + counts / 4)
    np.testing.assert_allclose(np.ravel(np.float32(fitted.params.w)), [0.25], rtol=1e-2)
    if name != "gram":  # which has no dtype of x
        assert fitted.params.w.dtype == dtype


def test_parameters_larger_than_the_half_precision_of_x_are_refused():
    counts = np.arange(8.0)
    x, y = np.float16(counts[:, None]), 70_000 + 100 * counts
    for fit in (jl.least_squares, lambda x, y: jl.glm(SQUARED, x, y)):
        with pytest.raises(ValueError, match=r"the largest float16.*astype"):
            fit(x, y)
    np.testing.assert_allclose(jl.least_squares(np.float32(x), y).params.b, 70_000, rtol=1e-6)


K_OUTPUTS = {
    "poisson": lambda y, offset: jl.poisson_regression(X, y, 0.1, offset=offset).params,
    "path": lambda y, offset: jl.glm_path(losses.logistic, X, y, [0.1], offset=offset).params,
    "softmax": lambda y, offset: (
        jl.glm(losses.softmax_cross_entropy, X, LABELS, 0.1, offset=offset).params
    ),
    "of_glm": lambda y, offset: jl.inference.of_glm(
        losses.poisson, jl.zeros(2, 2), X, y, offset=offset
    ),
}


@pytest.mark.parametrize("name", K_OUTPUTS)
def test_an_offset_of_examples_serves_all_outputs(name):
    y, offset = np.stack([LABELS, 1 - LABELS], axis=1), 0.1 * Y
    got = K_OUTPUTS[name](y, offset)
    expected = K_OUTPUTS[name](y, np.stack([offset, offset], axis=1))
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_an_offset_of_weight_0_is_absent():
    weight, missing = np.array(WEIGHT), np.array(0.1 * Y)
    weight[3], missing[3] = 0, np.nan
    got = jl.poisson_regression(X, LABELS, 0.1, offset=missing, weight=weight)
    expected = jl.poisson_regression(X, LABELS, 0.1, offset=0.1 * Y, weight=weight)
    jax.tree.map(np.testing.assert_array_equal, got, expected)
    with pytest.raises(ValueError, match=r"offset\[3\] is nan"):
        jl.poisson_regression(X, LABELS, 0.1, offset=missing)


SHAPES = {
    "weight (n, 1)": (lambda: jl.least_squares(X, Y, weight=WEIGHT[:, None]), r"weight\[:, 0\]"),
    "x ()": (lambda: jl.predict(LINE, 1.0), r"\[\[x\]\]"),
    "x 3-D": (lambda: jl.least_squares(X[:, :, None], Y), r"x\.reshape\(len\(x\), -1\)"),
    "y ()": (lambda: jl.least_squares(X, 1.0), r"y has shape \(\)"),
    "y (n, 0)": (lambda: jl.least_squares(X, Y[:, None][:, :0]), r"y has shape \(24, 0\)"),
    "offset (k,)": (
        lambda: jl.poisson_regression(X, np.ones((N, 2)), offset=[1.0, 2.0]),
        r"offset has shape \(2,\); expected \(24, 2\).*or \(24,\)",
    ),
}


@pytest.mark.parametrize("call, message", SHAPES.values(), ids=SHAPES)
def test_wrong_shapes_are_refused_with_the_way_out(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "weight", [LABELS, LABELS > 0, np.int8(LABELS)], ids=["int", "bool", "int8"]
)
def test_weights_in_any_dtype(weight):
    got = jl.gram.of(X, Y, weight)
    jax.tree.map(np.testing.assert_array_equal, got, jl.gram.of(X, Y, np.float32(weight)))


def test_one_example_is_enough():
    fit = jl.least_squares(X[:1], Y[:1])
    np.testing.assert_allclose(jl.predict(fit.params, X[:1]), Y[:1], rtol=1e-6)


def test_labels_of_64_bits_are_stratified_as_they_are():
    weight = jl.resample.stratified_k_fold(KEY, 2**32 * LABELS, 3)
    np.testing.assert_array_equal(weight, jl.resample.stratified_k_fold(KEY, LABELS, 3))


def test_pictures_and_files_of_models_are_there_when_they_are_used():
    code = (
        "import sys, jaxlinear as jl\n"
        "assert {'plots', 'model_file'} <= set(dir(jl))\n"
        "assert 'jaxlinear.cli.plots' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "print(jl.model_file.save.__name__, 'matplotlib' in sys.modules, hasattr(jl, 'none'))"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["save", "False", "False"]
    pytest.importorskip("matplotlib")
    assert jl.plots.save
