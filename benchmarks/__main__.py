"""``python -m benchmarks``: answer questions; print or publish the answers of before."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.grid import cells
from benchmarks.questions import (
    convex_fits,
    convex_grid,
    data_loading,
    exact_fits,
    first_calls,
    growth,
    many_models,
    per_example_gradients,
    prediction,
    sgd_epoch,
    sgd_step,
    vector_addition,
)
from benchmarks.rivals import libraries

_MODULES = (
    vector_addition,
    prediction,
    per_example_gradients,
    sgd_step,
    sgd_epoch,
    many_models,
    exact_fits,
    convex_fits,
    data_loading,
    first_calls,
    growth,
    convex_grid,
)
QUESTIONS = {module.__name__.rpartition(".")[2]: module.answer for module in _MODULES}
_HOURS = ("convex_grid",)  # that are answered if asked for
_LONG = ("many_models", "exact_fits", "convex_fits", "first_calls", "growth", *_HOURS)  # to compile


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument(
        "questions",
        nargs="*",
        metavar="question",
        help=f"{', '.join(QUESTIONS)} (default: all but {', '.join(_HOURS)}; with --fast, all but "
        f"{', '.join(_LONG)}); or table: print the results; or report: write them into the pages, "
        "with pictures",
    )
    arguments.add_argument("--fast", action="store_true", help="a smoke test on little data")
    arguments.add_argument("--directory", help="where Fashion-MNIST lies, or is to lie")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write the answers there, too")
    arguments.add_argument("--plots", type=Path, metavar="DIR", help="draw the answers there")
    arguments.add_argument(
        "--rivals",
        nargs="*",
        metavar="library",
        choices=libraries.OPTIONAL,
        help=f"only these of {', '.join(libraries.OPTIONAL)} (default: all that are installed)",
    )
    arguments.add_argument(
        "--out",
        type=Path,
        help=f"where results go (default: {report.RESULTS.name}/, nowhere with --fast)",
    )
    arguments.add_argument("--rounds", type=int, default=7, help="timed runs of each rival (7)")
    _add_options_of_the_grid(arguments.add_argument_group("convex_grid"))
    return arguments


def _add_options_of_the_grid(group) -> None:
    group.add_argument("--list", action="store_true", help="print the numbers and names of cells")
    group.add_argument(
        "--cells",
        help="numbers, such as 3,7,10-12, or patterns of names, such as '*x2 images*' (default: "
        "all but those that are kept back from tuning)",
    )
    group.add_argument("--kept-back", action="store_true", help="the cells that are kept back")
    group.add_argument(
        "--ours",
        action="store_true",
        help="time jaxlinear alone, beside the rivals of the result in --out",
    )
    group.add_argument(
        "--limit",
        type=float,
        default=convex_grid.LIMIT,
        help=f"seconds of a call after which it is not repeated ({convex_grid.LIMIT:g})",
    )


def main(words: list[str] | None = None) -> None:
    """Answer each question, write its result, and print its tables."""
    options = parser().parse_args(words)
    for question in options.questions:
        if question not in (*QUESTIONS, "table", "report"):
            parser().error(f"got {question!r}, expected {', '.join(QUESTIONS)}, table or report")
    if options.list:
        print("\n".join(f"{i:3} {cell.name}" for i, cell in enumerate(cells.CELLS)))
        return
    folder = options.out or report.RESULTS
    if "table" in options.questions:
        print("\n\n".join(map(report.markdown, report.read(folder))))
        return
    if "report" in options.questions:
        report.publish(folder)
        return
    if options.rivals is not None:
        libraries.allow(options.rivals)
    results = []
    # A smoke test must not take the place of a measurement.
    out = options.out or (None if options.fast else report.RESULTS)
    left_out = _LONG if options.fast else _HOURS
    for question in options.questions or [q for q in QUESTIONS if q not in left_out]:
        result = QUESTIONS[question](
            directory=options.directory,
            fast=options.fast,
            rounds=options.rounds,
            say=_say,
            **(_of_the_grid(options, out) if question == "convex_grid" else {}),
        )
        results.append(result)
        print(report.markdown(result))
        if out:
            _say(f"wrote {report.write(result, out).name}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.plots:
        report.draw(results, options.plots)


def _of_the_grid(options, out: Path | None) -> dict:
    try:
        cells.choose(options.cells)
    except ValueError as error:
        parser().error(str(error))
    names = ("cells", "kept_back", "ours", "limit")
    return {"out": out} | {name: getattr(options, name) for name in names}


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
