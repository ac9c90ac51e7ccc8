"""The benchmark suite is tested like the library: a wrong number in a table is a bug too."""

import importlib.util
import json

import jax
import numpy as np
import pytest

import jaxlinear as jl
from benchmarks import __main__ as main
from benchmarks import first_call, harness, machine, report, rivals, sgd_epoch
from benchmarks.harness import Rival

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
        "A CPU, 2 cores, 25.3 GB, cpu: cpu; measured 400 GFLOP/s in a float32 matrix product, "
        "45.5 GB/s reading memory; Linux 6; jax 0.10.2; 2026-01-01, commit abc with changes."
    )


def test_a_result_file_comes_back_as_it_was_and_its_table_is_printed(tmp_path, capsys):
    path = report.write(RESULT, tmp_path / "results")
    assert path.name == f"sgd_epoch-{machine.name()}.json"
    assert report.read(path.parent) == [RESULT]
    main.main(["table", "--out", str(path.parent)])
    assert capsys.readouterr().out == report.markdown(RESULT) + "\n"


def test_published_results_can_be_rendered():
    for result in report.read():
        assert result["title"] in report.markdown(result)


def test_an_unknown_question_is_refused(capsys):
    with pytest.raises(SystemExit):
        main.main(["sgd_epic"])
    assert "got 'sgd_epic', expected sgd_epoch" in capsys.readouterr().err


def test_the_machine_is_described_without_names_of_hosts_or_paths():
    about = machine.describe(size=64, megabytes=1)
    assert about["matrix_product_gflops"] > 0 and about["memory_read_gb_per_s"] > 0
    assert about["versions"]["jax"] == jax.__version__
    assert "/root" not in json.dumps(about) and machine.platform.node() not in about.values()


@pytest.fixture(scope="module")
def tiny():
    generator = np.random.default_rng(0)
    raw = rivals.Data(
        generator.integers(0, 256, (70, 12), np.uint8), generator.integers(0, 10, 70, np.int32)
    )
    return raw, rivals.Data(raw.x / np.float32(255), raw.y)


EPOCHS, LR, SIZE = 2, 0.05, 16  # the last minibatch is ragged


@pytest.fixture(scope="module")
def expected(tiny):
    return rivals.jaxlinear(rivals.on_jax(tiny[0]), EPOCHS, LR, SIZE)


@pytest.mark.parametrize("form", [0, 1], ids=["uint8", "float32"])
@pytest.mark.parametrize("name", ["numpy", "autograd_loop", "gradient_by_hand", "data_loader"])
def test_a_rival_given_the_same_order_gives_the_parameters_of_sgd_fit(tiny, expected, form, name):
    data = tiny[form]
    arguments = EPOCHS, LR, SIZE, rivals.jaxlinear_orders(len(data.y))
    if name == "numpy":
        w, b = rivals.numpy_by_hand(data, *arguments)
    elif not TORCH or (name == "data_loader" and form == 0):
        pytest.skip("torch is absent" if not TORCH else "as in tutorials, the images are floats")
    else:
        from benchmarks import torch_rivals

        w, b = getattr(torch_rivals, name)(torch_rivals.on_torch(data), *arguments)
    np.testing.assert_allclose(w, expected[0], atol=1e-6)
    np.testing.assert_allclose(b, expected[1], atol=1e-6)


def test_the_loss_of_the_check_is_that_of_the_library(tiny):
    w, b = rivals.numpy_by_hand(tiny[1], 1, 0.5, 16)
    objective = jl.mean_loss(jl.losses.softmax_cross_entropy)
    expected = objective(jl.Linear(w, b), jl.Batch(*tiny[1]))
    assert sgd_epoch.training_loss((w, b), tiny[1]) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ValueError, match=r"expected 5\.0000 within 0\.1"):
        sgd_epoch.within(0.1, 5.0, tiny[1])((w, b))
    with pytest.raises(ValueError, match="nan"):
        sgd_epoch.within(0.1, 5.0, tiny[1])((w * np.nan, b))


def test_without_torch_its_rivals_are_rows_that_say_so(tiny, monkeypatch):
    monkeypatch.setattr(sgd_epoch.importlib.util, "find_spec", lambda name: None)
    rows = harness.compare(sgd_epoch._torch(*tiny, None), right)
    assert {row.error for row in rows} == {"ImportError: torch is not installed"}
    assert len(rows) == 3


def test_fast_means_the_embedded_sample():
    raw, scaled = sgd_epoch.load(fast=True)
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
    monkeypatch.setattr(first_call, "measure", lambda *_, **__: {})
    main.main(["sgd_epoch", "--fast"])
    table = capsys.readouterr().out
    for name in names:
        (line,) = [line for line in table.splitlines() if name in line]
        assert "Error" not in line
    assert "A progress bar costs" in table
