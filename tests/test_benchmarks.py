"""The benchmark suite is tested like the library: a wrong number in a table is a bug too."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl
from benchmarks import (
    __main__,
    calls,
    float64,
    glance,
    harness,
    machine,
    markdown,
    peak_memory,
    report,
    slopes,
    tasks,
)
from benchmarks.answers import choices, near, one_choice
from benchmarks.data import load
from benchmarks.grid import cells, tables, timing, trial, ways
from benchmarks.grid import climb as grid_climb
from benchmarks.grid.cells import Cell
from benchmarks.grid.ways import Way
from benchmarks.harness import Rival
from benchmarks.questions import (
    convex_fits,
    convex_grid,
    exact_fits,
    first_calls,
    growth,
    sgd_epoch,
)
from benchmarks.rivals import convex, exact, libraries, sgd

TORCH = importlib.util.find_spec("torch") is not None


def right(answer):
    if answer != 1:
        raise ValueError(f"got {answer}, expected 1")
    return answer


def recording(calls, name, answer=1):
    def run():
        calls.append(name)
        return answer

    return run


def test_a_wrong_answer_is_refused_before_it_is_timed():
    calls = []
    wrong = Rival("wrong", recording(calls, "timed"), proof=recording(calls, "proof", 2))
    (row,) = harness.compare([wrong], right)
    assert calls == ["proof"]
    assert row.error == "ValueError: got 2, expected 1"
    assert row.seconds == () and row.first is None


def test_a_wrong_answer_of_the_timed_run_is_refused_too():
    (row,) = harness.compare([Rival("wrong", lambda: 2, proof=lambda: 1)], right, rounds=1)
    assert row.error == "ValueError: got 2, expected 1" and row.seconds == ()


def test_a_failing_rival_is_a_row_and_the_others_go_on():
    turns = iter([1, 1])  # the proof and one round

    def tires():
        return next(turns)

    def breaks():
        raise ImportError("torch is not installed\n/a/path/of/this/machine")

    rows = harness.compare(
        [Rival("breaks", breaks), Rival("tires", tires), Rival("works", lambda: 1)], right, rounds=3
    )
    assert [row.name for row in rows] == ["breaks", "tires", "works"]
    assert rows[0].error == "ImportError: torch is not installed"
    assert rows[1].error.startswith("StopIteration")
    assert rows[2].error is None and len(rows[2].seconds) == 3


def test_rivals_take_turns_and_every_other_round_goes_backwards():
    calls = []
    harness.compare([Rival(name, recording(calls, name)) for name in "abc"], right, rounds=3)
    assert "".join(calls) == "abc" + "abc" + "cba" + "abc"  # the proofs come first


def test_the_clock_waits_for_what_is_still_running(monkeypatch):
    class Pending:
        finished = False

        def block_until_ready(self):
            self.finished = True
            return self

    # What is nested in an answer is waited for as well, and inside the clock.
    answer = {"w": Pending(), "b": [Pending()]}
    finished_at_reading = []

    def clock():
        finished_at_reading.append(answer["w"].finished and answer["b"][0].finished)
        return 0.0

    monkeypatch.setattr(harness.time, "perf_counter", clock)
    harness.clock(lambda: answer)
    assert finished_at_reading == [False, True]


def test_the_fastest_variant_is_kept_and_times_are_per_unit_of_work(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])

    def lasting(seconds):
        def run():
            now[0] += seconds
            return 1

        return run

    rows = harness.compare(
        [
            Rival("a", lasting(8.0), work=2, variant="slow"),
            Rival("a", lasting(6.0), work=2, variant="fast"),
            Rival("a", lasting(1.0), variant="wrong", proof=lambda: 3),
            Rival("b", lasting(5.0), work=10),
        ],
        right,
        rounds=2,
    )
    assert [(row.name, row.variant, bool(row.error)) for row in rows] == [
        ("a", "fast", False),
        ("a", "wrong", True),
        ("b", "", False),
    ]
    assert rows[0].median == rows[0].minimum == pytest.approx(3.0)
    assert rows[2].median == pytest.approx(0.5)


RESULT = {
    "question": "sgd_epoch",
    "title": "One epoch",
    "unit": "epoch",
    "reference": "jaxlinear",
    "rows": [
        {"name": "NumPy", "variant": "1 thread", "work": 10, "seconds": [0.4, 0.5, 0.6]},
        {"name": "torch", "error": "ImportError: no torch | here"},
        {"name": "jaxlinear", "work": 10, "seconds": [0.1, 0.1234, 0.2], "checked": 0.45},
    ],
    "notes": {"cost_of_progress_bar": 0.012},
    "machine": {
        "cpu": "A CPU",
        "cores": 2,
        "memory_gb": 25.3,
        "device": "cpu: cpu",
        "matrix_product_gflops": 400.0,
        "memory_read_gb_per_s": 45.5,
        "system": "Linux 6",
        "versions": {"jax": "0.10.2", "torch": None},
        "date": "2026-01-01",
        "commit": "abc",
        "dirty": True,
    },
}


def test_markdown():
    assert report.markdown(RESULT) == (
        "**One epoch**\n\n"
        "| | ms per epoch, median (min) | times slower than jaxlinear |\n"
        "|---|--:|--:|\n"
        "| jaxlinear | 12.3 (10) | 1.0 |\n"
        "| NumPy, 1 thread | 50 (40) | 4.1 |\n"
        "| torch | ImportError: no torch / here | |\n\n"
        "A progress bar costs +1.2 %.\n\n"
        "A CPU, 2 cores, 25.3 GB; measured 400 GFLOP/s in a float32 matrix product, "
        "45.5 GB/s reading memory; Linux 6; jax 0.10.2; 2026-01-01, commit abc with changes."
    )


def test_several_tables_of_one_result_share_a_machine_and_each_has_its_reference_first():
    rows = [
        {"name": "failed", "error": "ImportError: no torch"},
        {"name": "faster", "seconds": [0.004], "checked": 5.9},
        {"name": "jaxlinear", "seconds": [0.005], "checked": 7.0},
    ]
    common = {"unit": "fit", "reference": "jaxlinear", "column": "correct digits", "rows": rows}
    weighed = {"peak_memory_mb": {"jaxlinear": 12.3, "himalaya": "OSError: no memory"}}
    result = {
        "tables": [
            {"title": "One", "notes": {}} | common,
            {"title": "Two", "notes": weighed} | common,
        ],
        "machine": RESULT["machine"],
    }
    table = (
        "| | ms per fit, median (min) | times slower than jaxlinear | correct digits |\n"
        "|---|--:|--:|--:|\n"
        "| jaxlinear | 5 (5) | 1.0 | 7 |\n"
        "| faster | 4 (4) | 0.8 | 5.9 |\n"
        "| failed | ImportError: no torch | | |"
    )
    assert report.markdown(result) == (
        f"**One**\n\n{table}\n\n**Two**\n\n{table}\n\n"
        "Peak memory of one call beyond its data, each in a fresh process, compiling included: "
        "jaxlinear 12 MB, himalaya OSError: no memory.\n\n" + report._machine(RESULT["machine"])
    )


def test_first_calls_are_shown_of_whole_runs():
    rows = [
        {"name": "jaxlinear", "seconds": [0.005], "first": 2.5, "checked": 1e-7},
        {"name": "loop", "seconds": [0.005], "first": 2.5, "checked": 1e-7, "work": 0.1},
        {"name": "failed", "error": "ImportError: no torch"},
    ]
    about = {"title": "One", "unit": "fit", "reference": "jaxlinear", "rows": rows}
    assert report._table(about | {"column": "gap", "first_calls": True}) == (
        "**One**\n\n"
        "| | ms per fit, median (min) | times slower than jaxlinear | first call, ms | gap |\n"
        "|---|--:|--:|--:|--:|\n"
        "| jaxlinear | 5 (5) | 1.0 | 2500 | 1e-07 |\n"
        "| loop | 50 (50) | 10.0 | | 1e-07 |\n"
        "| failed | ImportError: no torch | | | |"
    )


def test_a_result_file_comes_back_as_it_was_and_its_table_is_printed(tmp_path, capsys):
    path = report.write(RESULT, tmp_path / "results")
    assert path.name == f"{machine.name()}.jsonl"
    other = RESULT | {"question": "another"}
    for result in (other, RESULT):  # in the place of the older one
        report.write(result, path.parent)
    assert report.read(path.parent) == [other, RESULT]
    report.write(RESULT, path.parent)
    __main__.main(["table", "--out", str(path.parent)])
    printed = "\n\n".join(map(report.markdown, (other, RESULT)))
    assert capsys.readouterr().out == printed + "\n"


def test_published_results_can_be_rendered():
    for result in report.read():
        assert all(t["title"] in report.markdown(result) for t in glance.tables(result))


def test_an_unknown_question_is_refused(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["sgd_epic"])
    expected = f"got 'sgd_epic', expected {', '.join(__main__.QUESTIONS)}, table or report"
    assert expected in capsys.readouterr().err


def test_the_machine_is_described_without_names_of_hosts_or_paths():
    about = machine.describe(fast=True)
    assert about["matrix_product_gflops"] > 0 and about["memory_read_gb_per_s"] > 0
    assert about["versions"]["jax"] == jax.__version__
    assert "/root" not in json.dumps(about) and machine.platform.node() not in about.values()


@pytest.fixture(scope="module")
def tiny():
    generator = np.random.default_rng(0)
    raw = sgd.Data(
        generator.integers(0, 256, (70, 12), np.uint8), generator.integers(0, 10, 70, np.int32)
    )
    return raw, sgd.Data(raw.x / np.float32(255), raw.y)


EPOCHS, LR, SIZE = 2, 0.05, 16  # the last minibatch is ragged


@pytest.fixture(scope="module")
def expected(tiny):
    return sgd.jaxlinear(sgd.on_jax(tiny[0]), EPOCHS, LR, SIZE)


@pytest.mark.parametrize("form", [0, 1], ids=["uint8", "float32"])
@pytest.mark.parametrize("name", ["numpy", "autograd_loop", "gradient_by_hand", "data_loader"])
def test_a_rival_given_the_same_order_gives_the_parameters_of_sgd_fit(tiny, expected, form, name):
    data = tiny[form]
    arguments = EPOCHS, LR, SIZE, sgd.jaxlinear_orders(len(data.y))
    if name == "numpy":
        w, b = sgd.numpy_by_hand(data, *arguments)
    elif not TORCH or (name == "data_loader" and form == 0):
        pytest.skip("torch is absent" if not TORCH else "as in tutorials, the images are floats")
    else:
        from benchmarks.rivals import sgd_torch as torch_rivals

        w, b = getattr(torch_rivals, name)(torch_rivals.on_torch(data), *arguments)
    np.testing.assert_allclose(w, expected[0], atol=1e-6)
    np.testing.assert_allclose(b, expected[1], atol=1e-6)


def test_the_loss_of_the_check_is_that_of_the_library(tiny):
    w, b = sgd.numpy_by_hand(tiny[1], 1, 0.5, 16)
    objective = jl.mean_loss(jl.losses.softmax_cross_entropy)
    expected = objective(jl.Linear(w, b), jl.Batch(*tiny[1]))
    assert sgd_epoch.training_loss((w, b), tiny[1]) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ValueError, match=r"expected 5\.0000 within 0\.1"):
        sgd_epoch.within(0.1, 5.0, tiny[1])((w, b))
    with pytest.raises(ValueError, match="nan"):
        sgd_epoch.within(0.1, 5.0, tiny[1])((w * np.nan, b))


def test_without_torch_its_rivals_are_rows_that_say_so(tiny, monkeypatch):
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    rows = harness.compare(sgd_epoch._torch(*tiny, None), right)
    assert {row.error for row in rows} == {"ImportError: torch is not installed"}
    assert len(rows) == 3


def test_nothing_is_compared_without_a_reference():
    rows = [{"name": "a", "seconds": [2.5], "checked": 900.0}, {"name": "b", "error": "OSError"}]
    about = {"title": "One", "unit": "call", "reference": None, "rows": rows, "column": "kept, ms"}
    assert report._table(about) == (
        "**One**\n\n| | ms per call, median (min) | kept, ms |\n|---|--:|--:|\n"
        "| a | 2500 (2500) | 900 |\n| b | OSError | |"
    )


@pytest.mark.full
def test_first_calls_are_measured_in_processes_of_their_own(monkeypatch):
    monkeypatch.setattr(calls, "FITS", {"ridge": None, "absent": None})
    result = first_calls.answer(fast=True, say=lambda message: None)
    json.dumps(result)
    sound, wrong = result["rows"]
    (first,) = sound["seconds"]
    assert 0 < sound["checked"] / 1e3 < first, "kept programs are no quicker"
    assert first > 20 * float(sound["variant"].split()[1]) / 1e3, "the second call compiled"
    assert wrong["error"] == "KeyError: 'absent'"
    assert "| `ridge`, then" in report.markdown(result)


@pytest.mark.parametrize(
    "name", ["ridge", "sgd_fit", pytest.param("glm_cv", marks=pytest.mark.full)]
)
def test_calls_by_name_have_an_optimum(name):
    for k in (None, 2):
        calls.report_of(calls.FITS[name](calls.data(60, 3, k), 3))
    with pytest.raises(ValueError, match="NONFINITE_INPUT"):
        calls.report_of(jl.Fit(None, jl.Report(np.array([0, 5]), 1, 0.0, 0.0)))


def test_growth_is_told_by_slopes_and_a_failure_by_its_name(monkeypatch, tmp_path):
    def cubic(of, classes):
        """Of every axis: it takes size³ of these seconds."""
        seconds.append(1e-4 * (len(of.x) / 10) ** 3)
        return jl.Fit(None, jl.Report(np.array(0), 1, 0.0, 0.0))

    def failing(of, classes):
        raise ValueError(f"no {len(of.x)}")

    seconds, fits = [], {"cubic": cubic, "failing": failing}
    axis = growth.Axis("n", "d = 2", (10, 20, 40, 10_000), lambda n: calls.data(n, 2))
    monkeypatch.setattr(growth, "AXES", [axis])
    monkeypatch.setattr(growth, "clock", lambda run: (run(), seconds[-1])[::-1])
    monkeypatch.setattr(calls, "FITS", fits)
    monkeypatch.setattr(growth, "_peak", lambda name, fast: 12.3)
    monkeypatch.setattr(growth, "_LONGEST", 5e-3)
    result = growth.answer(say=lambda message: None)
    json.dumps(result)
    assert "| `cubic` | 0.1 | 0.8 | 6.4 | | 3.0 |" in report.markdown(result)
    assert "| `failing` | ValueError: no 10 | | | | |" in report.markdown(result)
    page = glance.markdown([result])
    assert "| `cubic` | 3.0 | 12 |" in page and "| `failing` | | 12 |" in page
    assert slopes.slope((10, 100, 1000), [1.0, 10.0]) == pytest.approx(1)
    assert slopes.slope((10, 100), [1.0]) is None


@pytest.mark.full
@pytest.mark.long
def test_smoke_of_growth():
    result = growth.answer(fast=True, say=lambda message: None)
    assert [len(axis["rows"]) for axis in result["growth"]] == [2] * 4
    for row in (row for axis in result["growth"] for row in axis["rows"]):
        assert row["error"] is None and len(row["seconds"]) == 2
    assert all(0 < peak < 2_000 for peak in result["peak_memory_mb"].values())


def test_the_page_says_where_it_wins_and_where_it_loses():
    def rows(other):
        return [{"name": "jaxlinear", "seconds": [0.1]}, {"name": "NumPy", "seconds": [other]}]

    tables = [
        {"title": "Long, float32", "reference": "jaxlinear", "rows": rows(0.5)},
        {"title": "Short, float32", "reference": "jaxlinear", "rows": rows(0.05)},
        {"title": "Alone", "reference": "jaxlinear", "rows": rows(0.5)[:1]},
        {"title": "First", "reference": None, "unit": "call", "column": "kept, ms"},
    ]
    tables[3]["rows"] = [{"name": "a", "seconds": [2.5], "checked": 900.0}]
    tables[1]["cost"] = {"flops": 2e10, "bytes": 4e8}
    page = glance.markdown([RESULT | {"tables": tables}])
    wins, loses = page.split("**Where it loses**")
    assert "| Long | NumPy | 5.0 | 100 |" in wins and "| Short | NumPy | 0.5 | 100 |" in loses
    assert "Alone" not in page and "**First**" in page and "| a | 2500 | 900 |" in page
    assert "| Short | 50 | a matrix product |" in loses


def test_fast_means_the_embedded_sample():
    raw, scaled = load(fast=True)
    assert raw.x.shape == scaled.x.shape == (6000, 784)
    assert raw.x.dtype == np.uint8 and scaled.x.dtype == np.float32 and scaled.x.max() == 1


def test_smoke(tiny, monkeypatch, capsys):
    """``--fast`` on even less, with the rivals that need no torch; no fresh processes."""
    every, names = sgd_epoch.entries, (sgd_epoch.REFERENCE, "NumPy, gradient by hand")
    for name, value in (("EPOCHS", EPOCHS), ("LR", LR), ("SIZE", SIZE)):
        monkeypatch.setattr(sgd_epoch, name, value)
    monkeypatch.setattr(sgd_epoch, "load", lambda *_: tiny)
    monkeypatch.setattr(sgd_epoch, "_torch", lambda *_: [])
    monkeypatch.setattr(
        sgd_epoch, "entries", lambda *a, **k: [r for r in every(*a, **k) if r.name in names]
    )
    __main__.main(["sgd_epoch", "--fast"])
    table = capsys.readouterr().out
    for name in names:
        (line,) = [line for line in table.splitlines() if name in line]
        assert "Error" not in line
    assert "A progress bar costs" in table


@pytest.fixture(scope="module")
def regression():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(23, 4)) + 1
    return x, x @ generator.normal(size=(4, 3)) + 2 + generator.normal(size=(23, 3))


def mean_error_on_held_rows(x, y, l2, parts):
    errors = np.zeros(y.shape)
    for held in parts:
        fit = float64.ridge(np.delete(x, held, axis=0), np.delete(y, held, axis=0), l2)
        errors[held] = np.square(y[held] - x[held] @ fit.w.T - fit.b)
    return errors.mean(axis=0)


def test_the_oracle_solves_the_normal_equations_in_blocks(regression):
    x, y = regression
    for intercept in (True, False):
        w, b = float64.solve(float64.moments(x, y, intercept, rows=7), 0.1)
        residual = x @ w.T + b - y
        np.testing.assert_allclose(residual.T @ x / len(x) + 0.1 * w, 0, atol=1e-12)
        np.testing.assert_allclose(residual.mean(axis=0) if intercept else b, 0, atol=1e-12)


@pytest.mark.parametrize("folds", [None, 5])  # of 23 examples: folds of 5 and of 4
def test_the_scores_of_the_oracle_are_those_of_fits_without_the_held_rows(regression, folds):
    x, y = regression
    l2s, n = [0.01, 1.0], len(x)
    if folds:
        scores, parts = float64.k_fold(x, y, l2s, folds), np.array_split(np.arange(n), folds)
    else:
        # l2 is relative to all n examples, and the fits without one see n - 1.
        scores, parts = float64.leave_one_out(x, y, l2s), np.arange(n)[:, None]
    for score, l2 in zip(scores, l2s, strict=True):
        relative = l2 if folds else l2 * n / (n - 1)
        np.testing.assert_allclose(score, mean_error_on_held_rows(x, y, relative, parts))


def test_wrong_coefficients_are_refused():
    right = jl.Linear(np.array([100.0, 1.0]), np.array(3.0))
    check = near(right, 1e-4)
    assert check(jl.Linear(right.w + 1e-3, right.b)) == 5.0  # digits of the largest
    for w, b, message in (
        (right.w + 0.02, right.b, r"w is off by 2\.0e-04, expected at most 0\.0001"),
        (right.w, right.b + 0.02, "b is off"),
        (right.w * np.nan, right.b, "w is off by nan"),
        (right.w[:1], right.b, r"got shape \(1, 1\), expected \(1, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check(jl.Linear(w, b))


def test_a_part_of_stacked_fits_is_compared_with_its_own():
    right = jl.Linear(np.arange(1.0, 13.0).reshape(6, 2), np.zeros(6))
    check = near(right, 1e-4, stacked=True)
    assert check([jl.Linear(right.w[i], right.b[i]) for i in (0, 2, 4)]) == 16
    with pytest.raises(ValueError, match="w is off"):
        check(jl.Linear(right.w[:3], right.b[:3]))


def test_wrong_choices_are_refused():
    l2s, scores = np.array([0.1, 1.0]), np.array([[1.0, 5.0], [2.0, 3.0]])  # the means: 3, 2.5
    check = one_choice(l2s, scores, 1e-4)
    assert check(exact.Choice(1.0, scores * (1 + 1e-5))) == 5.0
    for l2, told, message in (
        (0.1, scores, "chose l2 = 0.1, expected 1"),
        (1.0, scores * 1.001, "scores are off by"),
        (1.0, scores[:1], r"got scores of shape \(1, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check(exact.Choice(l2, told))


def test_wrong_choices_for_many_targets_are_refused():
    l2s, scores = np.array([0.1, 1.0]), np.tile([[1.0], [2.0]], 1000)
    scores[1, 0] = 1.0005  # the first target is as good with either
    check, chosen, best = choices(l2s, scores), np.full(1000, 0.1), np.ones((1, 1000))
    assert check(exact.Choice(chosen, best)) == 100
    assert check(exact.Choice(np.r_[1.0, chosen[1:]], best)) == 99.9
    for l2, told, message in (
        (np.r_[chosen[1:], 1.0], best, r"99\.90 % of .* costs up to 1\.0e\+00"),
        (np.ones(1000), best, r"0\.00 %"),
        (chosen, 1.01 * best, r"scores are off by up to 1\.0e-02"),
        (chosen[:1], best, r"shape \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check(exact.Choice(l2, told))


def test_without_its_package_a_rival_is_one_row_that_says_so(monkeypatch):
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    (rival,) = libraries.rivals("scikit-learn", lambda: 1, needs=["sklearn"], threads=[1, 2])
    (row,) = harness.compare([rival], right)
    assert row.error == "ImportError: scikit-learn is not installed"


def test_the_memory_of_a_call_is_that_of_a_fresh_process(regression):
    x, y = (a.astype(np.float32) for a in regression)
    if not peak_memory.STATUS.exists():
        pytest.skip("only Linux tells the peak of a process")
    assert peak_memory._in_fresh_process("numpy_ridge", (x, y), 0) >= 0


def textbook(x, y, l2=0.0, *, intercept=True, refine=True):
    center, mean = (x.mean(axis=0), y.mean(axis=0)) if intercept else (0 * x[0], 0 * y[0])
    rows = x - center[None]
    w = jnp.linalg.solve(rows.T @ rows + len(x) * l2 * jnp.eye(x.shape[1]), rows.T @ (y - mean))
    return jl.Fit(jl.Linear(w, mean - w @ center), None)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sklearn", "himalaya"))),
    reason="the rivals are scikit-learn and himalaya: pip install jaxlinear[benchmarks]",
)
def test_smoke_of_the_exact_fits(monkeypatch):
    """On one thread. Compiling is most of the time, so four fits are those of a textbook."""
    monkeypatch.setattr(jl, "ridge", textbook)
    monkeypatch.setattr(jl, "least_squares", textbook)
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(peak_memory, "measure", lambda *_: {})
    result = libraries._with_threads(
        1, lambda: exact_fits.answer(fast=True, say=lambda message: None)
    )
    assert_tables(result, 7)


def assert_tables(result, number):
    """Of rivals without an error, but for torch, and of numbers in all places."""
    json.dumps(result)
    assert len(result["tables"]) == number
    for table in result["tables"]:
        rows = [harness.Row(**row) for row in table["rows"]]
        assert rows[0].name == table["reference"] and len(rows) > 1
        assert not any(row.error for row in rows if "torch" not in row.name or TORCH)
        lines = [line for line in report._table(table).splitlines()[4:] if "Error" not in line]
        assert len(lines) > 1
        assert lines[0].startswith(f"| {table['reference']}") and "| 1.0 |" in lines[0]
        assert all(float(line.split("|")[3]) > 0 and line.split("|")[-2].strip() for line in lines)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sklearn", "cyanure"))),
    reason="the rivals are scikit-learn and cyanure: pip install jaxlinear[benchmarks]",
)
def test_smoke_of_the_convex_fits(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 1)
    result = libraries._with_threads(
        1, lambda: convex_fits.answer(fast=True, say=lambda message: None)
    )
    assert_tables(result, len(convex_fits.TASKS))


def by_scikit_learn(x, y, l2, tol=1e-7, **_):
    """Newton's method in float64, in the place of a fit that would be compiled."""
    params = convex.sklearn_logistic(*map(np.asarray, (x, y)), l2, "newton-cholesky", tol)
    return jl.Fit(params, None)


def poisson_by_scikit_learn(x, y, l2, tol=1e-7):
    data = map(np.asarray, (x, y))
    return jl.Fit(convex.sklearn_glm(*data, l2, "poisson", "newton-cholesky", tol), None)


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sklearn", "himalaya"))),
    reason="the rivals are of scikit-learn: pip install jaxlinear[benchmarks]",
)
def test_smoke_of_the_convex_grid(monkeypatch, tmp_path, capsys):
    """Compiling is most of the time, so two fits are those of scikit-learn, and optax has one."""
    optax = ways._optax

    def once(cell, x, y):
        no = ways.Way("optax", None, missing="NotImplementedError: not here")
        return optax(cell, x, y) if cell.loss == "poisson" else no

    monkeypatch.setattr(ways, "_optax", once)
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(jl, "softmax_regression", by_scikit_learn)
    monkeypatch.setattr(jl, "poisson_regression", poisson_by_scikit_learn)
    words = ["convex_grid", "--fast", "--out", str(tmp_path), "--plots", str(tmp_path)]
    libraries._with_threads(1, lambda: __main__.main(words))
    (result,) = report.read(tmp_path)
    assert [cell["name"] for cell in result["cells"]] == [cell.name for cell in cells.FAST]
    for cell in result["cells"]:
        told = tables.summary(cell)
        assert told.fails is None and told.ratio > 0 and told.default > 0
        assert all(0 <= row["checked"] <= 1e-6 for row in cell["rows"] if row["name"] == told[0][0])
    printed = capsys.readouterr().out
    assert all(tables.line(cell) in printed for cell in result["cells"])
    assert "in the median of 4 cells" in printed
    assert list(tmp_path.glob("*-grid.png"))


def test_the_grid_covers_decades_and_names_each_problem_once():
    grid, kept = cells.GRID, cells.KEPT_BACK
    assert len(grid) >= 60 and len(cells.LOSSES) >= 12 and len(kept) == 20
    assert len({cell.name for cell in cells.CELLS}) == len(cells.CELLS)
    for letter, least, most in (("n", 50, 300_000), ("d", 1, 20_000), ("k", 2, 1_000)):
        sizes = [getattr(cell, letter) for cell in grid]
        assert min(sizes) == least and max(sizes) == most
    assert all(1e-6 <= cell.l2 <= 1 for cell in cells.CELLS)
    assert {cell.kind for cell in grid} == {cell.kind for cell in kept} == set(cells.DRAW)
    # A rule that draws others tomorrow would be no rule.
    assert kept[0].name == "240x570x2 gaussian 0.0001 unbalanced"


def test_cells_are_chosen_by_numbers_and_by_patterns():
    first, kept = len(cells.GRID) + len(cells.LOSSES), len(cells.KEPT_BACK)
    assert cells.choose() == list(range(first))
    assert cells.choose(kept_back=True) == list(range(first, first + kept))
    assert cells.choose("7,3,5-8") == [7, 3, 5, 6, 8]
    assert {cells.CELLS[i].loss for i in cells.choose("gamma*")} == {"gamma"}
    for wrong in ("1000", "nothing*", ""):
        with pytest.raises(ValueError, match="expected numbers 0 to"):
            cells.choose(wrong)


@pytest.mark.parametrize("kind", cells.DRAW)
def test_problems_are_drawn_as_they_are_called(kind):
    cell = Cell(400, 49, 30, kind, 0.1, "unbalanced")
    x, y = cells.draw(cell)
    np.testing.assert_array_equal(x, cells.draw(cell)[0])
    assert x.shape == (400, 49) and x.dtype == np.float32
    counts = np.bincount(y)
    assert len(counts) == 30 and counts.min() > 0 and counts[:5].sum() > 2 * counts[-5:].sum()
    if kind == "correlated":
        assert np.corrcoef(x[:, 0], x[:, 1])[0, 1] > 0.95
    if kind == "images":
        assert x.min() == 0 and x.max() == 1 and not x[:, :7].any()
        assert np.corrcoef(x[:, 24], x[:, 25])[0, 1] > 0.5
    if kind == "one-hot":
        assert (x.sum(axis=1) == 20).all()


@pytest.mark.parametrize("loss", float64.LOSSES)
def test_objectives_in_float64_are_those_of_the_library(loss):
    rng, k = np.random.default_rng(0), 3
    of_classes = loss == "softmax_cross_entropy"
    x = rng.normal(size=(50, 4))
    y = rng.integers(0, k, 50) if of_classes else rng.integers(0, 2, (50, k)) * 1.0
    params = jl.Linear(rng.normal(size=(k, 4)), rng.normal(size=k))
    with jax.enable_x64(True):
        expected = jl.mean_loss(getattr(jl.losses, loss))(params, jl.Batch(x, y), 0.1)
    for numbers in (7, 100, 10**6):
        got = float64.objective(loss, params, x, y, 0.1, numbers)
        assert np.shape(got) == (() if of_classes else (k,))
        assert np.sum(got) == pytest.approx(float(expected))


def climbing(monkeypatch, **seconds_and_answers):
    """Ways that take so long, and end at so much at each tolerance."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])

    def way(name, seconds, answers):
        def fit(tol):
            now[0] += seconds
            return answers[grid_climb.TOLERANCES.index(tol)]

        return ways.Way(name, fit, threads=False)

    return [way(name, *both) for name, both in seconds_and_answers.items()]


def test_a_rival_is_taken_at_the_loosest_tolerance_that_is_near(monkeypatch):
    ways = climbing(
        monkeypatch,
        quick=(2.0, [1.1, 1.0000001, 1.0]),
        exact=(3.0, [2.0, 1.1, 1.0 - 1e-3]),  # shows that the other two had not arrived
        never=(4.0, [1.1] * 6),
        slow=(50.0, [1.1] * 6),
        long=(70.0, [1.1] * 6),
    )
    ways = [*ways, Way("absent", None, missing="ImportError: no")]
    best, climbs = grid_climb.climb(
        ways[1:], lambda answer: answer, np.array(1.0), 60, lambda message: None
    )
    assert best == 1.0 - 1e-3
    arrived = {c.way.name: c.arrived(best) for c in climbs}
    assert arrived["exact"].tol == 1e-4
    assert [name for name, trial in arrived.items() if trial] == ["exact"]
    errors = {c.way.name: c.error for c in climbs}
    assert errors["exact"] is None and errors["absent"] == "ImportError: no"
    assert errors["never"].startswith("ValueError: never near: 1.0e-01")
    assert errors["slow"].endswith("17 times the best rival")
    assert errors["long"].startswith("TimeoutError: 1.0e-01 above the optimum after 7e+04 ms")
    assert len(climbs[2].trials) == len(climbs[3].trials) == 1

    # Alone the quick one has arrived at its second tolerance.
    _, (climb,) = grid_climb.climb(
        ways[:1], lambda answer: answer, np.array(1.0), 60, lambda message: None
    )
    assert climb.arrived(1.0).tol == 1e-3


def test_what_takes_longer_than_its_limit_is_stopped():
    with (
        pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"),
        trial.stopped_after(0.01),
    ):
        while True:
            pass


def a_cell(number=0, group="the grid", **seconds):
    rows = [
        {"name": name, "seconds": [s] if s else [], "error": None if s else "ValueError: far"}
        for name, s in {"jaxlinear, tol 1e-3": 0.5, **seconds}.items()
    ]
    cell = Cell(50, 1, 2, "gaussian", 1e-3)
    return {"name": cell.name, "number": number, "group": group, "rows": rows} | cell._asdict()


def test_short_calls_are_timed_several_at_a_time_and_long_ones_once():
    calls = []
    short = timing._longer(Rival("short", recording(calls, "a")), 0.001)
    assert short.run() == 1 and len(calls) == short.work == 10
    assert timing._longer(Rival("long", right), 0.2) == Rival("long", right)
    assert [timing._repeats(s, 7, 60) for s in (0.001, 3.0, 20.0, 61.0)] == [7, 3, 1, 0]


def test_the_ratio_of_a_cell_is_that_of_the_best_rival():
    cell = a_cell(jaxlinear=1.0, slow=9.0, best=2.0, failed=None)
    told = tables.summary(cell)
    assert (told.rival.name, told.ratio, told.default) == ("best", 2.0, 2.0)
    assert tables.line(cell).endswith("| best | 2000 | 1000 | | | 2 | 2 |")
    others = [a_cell(1, jaxlinear=1.0, a=0.5), a_cell(2, jaxlinear=1.0), a_cell(3, jaxlinear=None)]
    assert tables.in_all([cell, *others]) == (
        "The best rival takes 1.2 times as long as jaxlinear in the median of 2 cells, and 0.5 "
        f"times at least (cell 1, {cell['name']}); in 1 of them it is quicker. In 1 no rival gets "
        "there. jaxlinear fails in 1: 3."
    )


def test_a_grid_keeps_the_cells_of_before_and_writes_each_at_once(monkeypatch, tmp_path):
    written, calls = [], []
    monkeypatch.setattr(machine, "describe", lambda **_: RESULT["machine"])
    monkeypatch.setattr(jax, "clear_caches", lambda: None)

    def measure(cell, rounds, limit, known, say):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(known and known["name"])
        return a_cell(jaxlinear=1.0, rival=2.0) | {"name": cell.name}

    monkeypatch.setattr(convex_grid, "measure", measure)
    quiet = {"say": written.append, "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        convex_grid.answer(cells="5,3,4", **quiet)
    assert [c["number"] for c in report.latest("convex_grid", tmp_path)["cells"]] == [3, 5]
    calls.clear()
    result = convex_grid.answer(cells="3,80", ours=True, **quiet)
    assert calls == [cells.CELLS[3].name, None]
    assert [c["number"] for c in result["cells"]] == [3, 5, 80]
    assert [c["group"] for c in result["cells"]] == ["the grid", "the grid", "other losses"]
    assert len(written) == 4
    assert report.read(tmp_path) == [result]


def test_a_fit_above_the_optimum_is_refused():
    check = convex_fits.within(1e-6, np.array([0.5, 0.5]), lambda params: params)
    assert check(np.array([0.5, 0.5 * (1 + 5e-7)])) == 5e-7
    with pytest.raises(ValueError, match=r"stopped 2\.0e-06 above the optimum, expected at most"):
        check(np.array([0.5 * (1 + 2e-6), 0.5]))
    with pytest.raises(ValueError, match="stopped nan above"):
        check(np.array([np.nan, 0.5]))


def test_the_optimum_in_float64_has_no_gradient():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60) * 1.0
    least = float64.logistic_optimum(x, y, 0.01)
    near = (jl.Linear(rng.normal(size=3) / 10, 0.1) for _ in range(20))
    assert all(float64.logistic_objective(params, x, y, 0.01) > least for params in near)
    stacked = jl.Linear(np.stack([np.zeros(3), np.ones(3)]), np.zeros(2))
    two = float64.logistic_objective(stacked, x, np.stack([y, y], axis=1), 0.01)
    assert two[0] == pytest.approx(np.log(2))
    assert float64.softmax_objective(stacked, x, y.astype(int), 0.01) == pytest.approx(two[1])


def test_an_answer_that_is_not_there_is_refused():
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor() as pool:
        rivals = [Rival("later", lambda: pool.submit(int)), Rival("now", lambda: 1)]
        later, now = harness.compare(rivals, right, rounds=1)
    assert later.error == "TypeError: the answer holds Future, expected numbers that are there"
    assert now.error is None and len(now.seconds) == 1


def test_an_answer_in_another_dtype_is_refused():
    pair = [Rival(f"{dtype}", lambda d=dtype: np.ones(2, d)) for dtype in ("float32", "float64")]
    single, double = harness.compare(pair, np.sum, dtype="float32", rounds=1)
    assert single.error is None
    assert double.error == "TypeError: the answer is in float64, expected float32"


def test_more_threads_than_were_said_are_refused(monkeypatch):
    """By the processor's time, where a run is long enough to tell."""
    wall, work = [0.0], [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: wall[0])
    monkeypatch.setattr(harness.time, "process_time", lambda: work[0])

    def busy(cores, seconds):
        def run():
            wall[0] += seconds
            work[0] += cores * seconds
            return 1

        return run

    rows = harness.compare(
        [
            Rival("one", busy(1.1, 1), threads=1),
            Rival("two", busy(2.0, 1), threads=1),
            Rival("short", busy(2.0, 0.01), threads=1),
            Rival("free", busy(2.0, 1)),
        ],
        right,
        rounds=2,
    )
    assert [row.error for row in rows] == [
        None,
        "ValueError: kept 2.0 cores busy, said 1",
        None,
        None,
    ]
    assert rows[3].cores == pytest.approx(2.0)


def test_only_the_libraries_that_were_asked_for_take_part():
    try:
        libraries.allow(["torch"])
        (row,) = harness.compare(libraries.rivals("x", lambda: 1, needs=["sklearn"]), right)
        assert row.error == "ImportError: scikit-learn was not asked for"
    finally:
        libraries.allow(libraries.OPTIONAL)
    assert not libraries._refused


def test_a_headline_names_the_best_of_the_others():
    rows = [
        {"name": "jaxlinear, `sweep`", "seconds": [0.1]},
        {"name": "jaxlinear, loop over `sgd_fit`", "seconds": [5.0]},
        {"name": "torch", "seconds": [1.23]},
        {"name": "NumPy", "seconds": [2.0]},
        {"name": "absent", "error": "ImportError: no"},
    ]
    table = {"reference": rows[0]["name"], "rows": rows, "unit": "fit", "headline": "Fits"}
    result = RESULT | {"tables": [table, {"rows": []}]}
    assert glance.headline([result]).splitlines()[2:] == [
        "| Fits | 100 ms per fit | 50.0x | 12.3x (torch) |".replace("x ", f"{markdown.TIMES} "),
        "",
        "Times as long as jaxlinear, on A CPU, 2 cores.",
    ]


def test_work_is_told_beside_what_the_machine_can_do():
    rows = [{"name": "a", "seconds": [0.1]}]
    table = {"reference": "a", "rows": rows, "cost": {"flops": 2e10, "bytes": 0.0}}
    assert glance.work_of(table) == pytest.approx((200, 0))
    assert report._work(table, RESULT["machine"]) == [
        "The first row does 200 GFLOP/s (50 % of a matrix product)."
    ]


SMALL = ("vector_addition", "prediction", "per_example_gradients", "sgd_step", "data_loading")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch itself
@pytest.mark.parametrize("question", SMALL)
def test_smoke_of_the_small_questions(question, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cores", lambda: 1)
    result = __main__.QUESTIONS[question](fast=True, say=lambda message: None)
    assert_tables(result, 1)
    json.dumps(result)
    report.draw([result], tmp_path)
    assert bool(list(tmp_path.glob("*.png"))) == (question != "data_loading")


@pytest.mark.full
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sklearn", "himalaya"))),
    reason="a rival is scikit-learn: pip install jaxlinear[benchmarks]",
)
def test_smoke_of_many_models(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cores", lambda: 1)
    result = __main__.QUESTIONS["many_models"](fast=True, say=lambda message: None)
    assert_tables(result, 3)
    report.draw([result], tmp_path)
    kinds = {"break-even", "scaling", "roofline"}
    assert {path.name for path in tmp_path.glob("*.png")} == {f"cpu-{kind}.png" for kind in kinds}


def test_the_pages_are_written_from_the_results(tmp_path):
    pages = {name: tmp_path / f"{name}.md" for name in report.PAGES}
    for name, page in pages.items():
        page.write_text(f"a\n<!-- {name} -->\nold\n<!-- end of {name} -->\nb\n")
    report.write(RESULT, tmp_path)
    for _ in range(2):
        report.publish(tmp_path, pages)
    for name, block in report.blocks([RESULT]).items():
        text = pages[name].read_text()
        assert text == f"a\n<!-- {name} -->\n{block}\n\n<!-- end of {name} -->\nb\n"


def test_wrong_answers_to_the_small_questions_are_refused():
    near = tasks.near(jl.Linear(np.ones((3, 2)), np.ones(3)), 1e-3)
    assert near(jl.Linear(np.full((2, 2), 1.0005), np.ones(2))) == 5e-4  # a part
    for w in (1.01, np.nan):
        with pytest.raises(ValueError, match="expected at most"):
            near(jl.Linear(np.full((3, 2), w), np.ones(3)))
