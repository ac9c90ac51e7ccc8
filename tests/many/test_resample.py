"""Folds, bootstraps and padding as weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import full_but

import jaxlinear as jl
from jaxlinear import checks, resample

KEY = jax.random.key(0)


@pytest.mark.parametrize("n, folds, repeats", [(10, 5, 1), (103, 10, 3), (7, 7, 2), (3, 2, 1)])
def test_every_example_is_held_out_once_in_every_repeat(n, folds, repeats):
    weight = np.asarray(resample.k_fold(KEY, n, folds, repeats=repeats))
    assert weight.shape == (repeats * folds, n) and set(np.unique(weight)) == {0, 1}
    held = (1 - weight).reshape(repeats, folds, n)
    assert (held.sum(axis=1) == 1).all()
    sizes = held.sum(axis=2)
    assert sizes.max() - sizes.min() <= 1
    assert repeats == 1 or (held[0] != held[1]).any()


def test_strata_have_their_share_of_every_fold():
    y = np.repeat([0, 1, 2, 5], [50, 31, 12, 3])
    held = 1 - np.asarray(resample.stratified_k_fold(KEY, y, 5, repeats=2))
    assert (held.reshape(2, 5, -1).sum(axis=1) == 1).all()
    for label in np.unique(y):
        share = held[:, y == label].sum(axis=1)
        assert share.max() - share.min() <= 1
    assert np.ptp(held.sum(axis=1)) <= 1


def test_groups_stay_together_and_folds_are_of_about_one_size():
    groups = np.repeat(list("abcdefgh"), [30, 5, 5, 5, 5, 4, 3, 3])
    held = 1 - np.asarray(resample.group_k_fold(KEY, groups, 3, repeats=2))
    assert (held.reshape(2, 3, -1).sum(axis=1) == 1).all()
    for group in "abcdefgh":
        assert np.isin(held[:, groups == group].mean(axis=1), (0, 1)).all()
    assert np.sort(held[:3].sum(axis=1)).tolist() in ([15, 15, 30], [14, 16, 30])
    assert (held[:3] != held[3:]).any()
    with pytest.raises(ValueError, match="folds is 9; expected 2 … 8, as many as groups"):
        resample.group_k_fold(KEY, groups, 9)


def test_a_bootstrap_counts_draws_with_replacement():
    counts = np.asarray(resample.bootstrap(KEY, 50, 2000))
    assert counts.shape == (2000, 50) and (counts.sum(axis=1) == 50).all()
    # Binomial(50, 1/50): mean 1, variance 0.98, and 0.364 of them are 0.
    np.testing.assert_allclose([counts.mean(), counts.var()], [1, 0.98], atol=0.03)
    np.testing.assert_allclose((counts == 0).mean(), 0.364, atol=0.01)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.12)
    independent = np.asarray(resample.bootstrap(KEY, 50, 2000, poisson=True))
    np.testing.assert_allclose([independent.mean(), independent.var()], [1, 1], atol=0.03)
    assert np.ptp(independent.sum(axis=1)) > 0


@pytest.mark.full
def test_a_bootstrap_of_least_squares_has_the_standard_errors_of_theory():
    x = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    y = x @ np.float32([1, -1]) + np.random.default_rng(1).normal(size=400).astype(np.float32)
    weight = resample.bootstrap(KEY, 400, 500)
    fits = jax.jit(jax.vmap(lambda w: jl.ridge(x, y, 0.0, weight=w)))(weight)
    told = jl.inference.of_least_squares(jl.least_squares(x, y).params, x, y)
    np.testing.assert_allclose(fits.params.w.std(axis=0), told.standard_error.w, rtol=0.15)


def test_groups():
    groups = np.array(["b", "a", "b", "c", "b"])
    weight = resample.leave_one_group_out(groups)
    np.testing.assert_array_equal(weight, [[1, 0, 1, 1, 1], [0, 1, 0, 1, 0], [1, 1, 1, 0, 1]])
    x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    names, batch = resample.pad_groups(groups, x, y, weight=[1, 2, 3, 4, 5])
    assert names.tolist() == ["a", "b", "c"] and batch.x.shape == (3, 3, 2)
    np.testing.assert_array_equal(batch.weight, [[2, 0, 0], [1, 3, 5], [4, 0, 0]])
    np.testing.assert_array_equal(batch.y, [[1, 0, 0], [0, 2, 4], [3, 0, 0]])
    np.testing.assert_array_equal(batch.x[1], x[[0, 2, 4]])


def test_ragged_groups_are_fitted_as_they_are_alone():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 60)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    y = (x.sum(axis=1) * (1 + groups)).astype(np.float32)
    _, batch = resample.pad_groups(groups, x, y)
    fits = jax.vmap(lambda b: jl.ridge(b.x, b.y, 0.1, weight=b.weight))(batch)
    for group in range(4):
        alone = jl.ridge(x[groups == group], y[groups == group], 0.1)
        np.testing.assert_allclose(fits.params.w[group], alone.params.w, rtol=1e-5)


def test_few_sizes_are_rounded_to_and_none_is_far():
    sizes = np.array([resample._round_size(n) for n in range(1, 5000)])
    assert (sizes >= np.arange(1, 5000)).all() and (sizes < 1.25 * np.arange(1, 5000)).all()
    assert len(np.unique(sizes[1000:])) < 12
    batch = resample.pad(jl.Batch(np.ones((5, 2), np.uint8), np.arange(5)), 8)
    assert batch.x.dtype == np.uint8 and batch.y.dtype == np.arange(5).dtype
    np.testing.assert_array_equal(batch.weight, [1] * 5 + [0] * 3)
    kept = resample.pad(batch._replace(weight=np.full(8, 0.5)), 9).weight
    np.testing.assert_array_equal(kept, [0.5] * 8 + [0])


LOSS = jl.losses.logistic
PADDED = {
    "least_squares": lambda x, y, weight: jl.least_squares(x, y, weight=weight),
    "ridge": lambda x, y, weight: jl.ridge(x, y, 0.1, weight=weight),
    "ridge_cv": lambda x, y, weight: jl.ridge_cv(x, y, np.array([0.1, 1.0]), weight=weight),
    "gram": lambda x, y, weight: jl.gram.of(x, y, weight),
    "logistic": lambda x, y, weight: jl.logistic_regression(x, y, weight=weight),
    "softmax": lambda x, y, weight: jl.softmax_regression(
        x, (y + 0.5).astype(int), 0.1, weight=weight
    ),
    "poisson": lambda x, y, weight: jl.poisson_regression(x, y, weight=weight),
    "gamma": lambda x, y, weight: jl.glm(jl.losses.gamma, x, y + 0.1, 0.1, weight=weight),
    "glm_path": lambda x, y, weight: jl.glm_path(LOSS, x, y, np.array([0.1, 1]), weight=weight),
    "of_least_squares": lambda x, y, weight: jl.inference.of_least_squares(
        jl.Linear(np.ones(3, np.float32), np.float32(1)), x, y, weight=weight
    )._replace(leverage=0.0),
    "mean_loss": lambda x, y, weight: jl.mean_loss(LOSS)(
        jl.Linear(np.ones(3, np.float32), np.float32(1)), jl.Batch(x, y, weight)
    ),
}


def without_noise(result):
    """Gradients at an optimum are what rounding left."""
    if not isinstance(result, jl.Fit):
        return result
    assert np.all(result.report.gradient_norm < 1e-5)
    return result._replace(report=result.report._replace(gradient_norm=0, gap=0))


@pytest.mark.parametrize("name", full_but(PADDED, "ridge", "softmax"))
def test_padding_changes_no_result(name):
    """Nor status, steps, rank or degrees of freedom."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(37, 3)).astype(np.float32)
    batch = jl.Batch(x, (x[:, 0] + rng.logistic(size=37) > 0).astype(np.float32))
    padded = resample.pad(batch)
    assert len(padded.x) == 40
    got, expected = (without_noise(PADDED[name](*part)) for part in (padded, batch))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)


def test_sizes_that_round_alike_share_a_program(compilations):
    rng = np.random.default_rng(0)
    for n in range(65, 81):
        batch = resample.pad(jl.Batch(rng.normal(size=(n, 3)).astype(np.float32), np.ones(n)))
        jl.ridge(batch.x, batch.y, 0.1, weight=batch.weight)
    assert compilations("_solve") == 1


MISTAKES = {
    "a size that is too small": (
        lambda: resample.pad(jl.Batch(np.ones((3, 1)), np.ones(3)), 2),
        r"size is 2; expected at least the 3 examples",
    ),
    "one fold": (lambda: resample.k_fold(KEY, 10, 1), r"folds is 1; expected 2 … 10"),
    "more folds than examples": (lambda: resample.k_fold(KEY, 3, 4), r"folds is 4; expected 2 … 3"),
    "no repeat": (lambda: resample.k_fold(KEY, 3, 2, repeats=0), r"repeats is 0; expected a whole"),
    "targets that are no labels": (
        lambda: resample.stratified_k_fold(KEY, np.ones(3), 2),
        r"y has shape \(3,\) and dtype float64; expected integer labels",
    ),
    "one group": (lambda: resample.leave_one_group_out([1, 1]), r"groups holds 1 group"),
    "rows without a group": (
        lambda: resample.pad_groups([1, 2], np.ones((3, 1)), np.ones(3)),
        r"x has shape \(3, 1\) and groups \(2,\)",
    ),
}


@pytest.mark.parametrize("mistake, message", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


def folds_of(folds):
    return lambda: checks.folds_as_weights(folds, 4)


def rows_of(rows):
    return lambda: checks.rows_as_mask(rows, 4)


FOLDS_AND_ROWS = {
    "folds, number": (folds_of(5), "folds is 5; expected a number in 2 … 4"),
    "folds, part": (folds_of(2.5), "folds is 2.5; expected a whole number"),
    "folds, other rows": (
        folds_of(np.zeros((3, 5))),
        r"folds has shape \(3, 5\)",
    ),
    "folds, one name": (folds_of([1] * 4), r"folds has shape \(4,\) and 1 values"),
    "folds, a weight": (folds_of([0.0, 1.0, 1.0, 2.0]), r"dtype float64; .* folds\[None\]"),
    "folds, none out": (folds_of([[0, 1, 1, 1], [1] * 4]), "fold 1 holds nothing out"),
    "folds, all out": (folds_of([[0] * 4, [1, 0, 0, 1]]), "fold 0 fits nothing"),
    "folds, nan": (folds_of([[0, 1, np.nan, 1]]), r"folds\[0, 2\] is nan; expected finite"),
    "folds, negative": (folds_of([[0, 1, 1, -2]]), r"folds\[0, 3\] is -2"),
    "rows, above": (rows_of([1, 4]), r"held_out\[1\] is 4; expected a mask \(4,\).* 0 … 3"),
    "rows, negative": (rows_of([1, -1]), r"held_out\[1\] is -1"),
    "rows, twice": (rows_of([1, 2, 1]), r"held_out\[2\] is 1; .* each once"),
    "rows, part": (rows_of([1.5, 2.0]), r"shape \(2,\) and dtype float64"),
    "rows, nan": (rows_of([0.0, 1.0, np.nan, 1.0]), "dtype float64"),
    "rows, mask of others": (rows_of([True, False, True]), r"shape \(3,\) and dtype bool"),
    "rows, numbers of others": (rows_of([0, 1, 0, 1, 1]), r"held_out\[2\] is 0; .* each once"),
    "rows, column": (rows_of([[0], [1], [0], [1]]), r"held_out has shape \(4, 1\)"),
    "rows, none": (rows_of([]), r"held_out has shape \(0,\)"),
    "rows, mask of none": (rows_of([0] * 4), "is 0 of 4 rows"),
    "rows, mask of all": (rows_of(np.ones(4, bool)), "is 4 of 4 rows"),
    "rows, all": (rows_of([3, 1, 0, 2]), "is 4 of 4 rows"),
}


@pytest.mark.parametrize("mistake, message", FOLDS_AND_ROWS.values(), ids=FOLDS_AND_ROWS)
def test_mistakes_in_folds_and_rows_are_named(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


@pytest.mark.parametrize("dtype", [bool, float, int, np.uint8, np.float32, jnp.int32, list])
def test_a_mask_is_one_in_any_dtype(dtype):
    """And the numbers of its rows are another way to say it."""
    mask = np.array([False, True, False, True])
    given = mask.astype(int).tolist() if dtype is list else jnp.asarray(mask, dtype)
    for rows in (given, np.asarray(given), np.flatnonzero(mask), [3, 1]):
        np.testing.assert_array_equal(checks.rows_as_mask(rows, 4), mask)
    np.testing.assert_array_equal(checks.rows_as_mask([0, 1], 4), [True, True, False, False])
    np.testing.assert_array_equal(checks.rows_as_mask([0, 1], 2), [False, True])  # a mask
    traced = jax.jit(lambda rows: checks.rows_as_mask(rows, 4))
    np.testing.assert_array_equal(traced(jnp.asarray(mask)), mask)
    np.testing.assert_array_equal(traced(jnp.asarray(mask, jnp.uint8)), mask)
    assert not traced(jnp.array([0, 2, 1, 1])).any()
    with pytest.raises(ValueError, match=r"held_out is traced and has shape \(2,\)"):
        traced(jnp.array([1, 3]))


def test_groups_must_be_known():
    with pytest.raises(TypeError, match="groups is traced"):
        jax.jit(resample.leave_one_group_out)(jnp.arange(3))
