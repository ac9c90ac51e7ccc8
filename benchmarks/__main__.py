"""``python -m benchmarks``: answer questions; print or publish the answers of before."""

import argparse
import json
import sys
from pathlib import Path

from benchmarks import (
    convex_fits,
    data_loading,
    exact_fits,
    libraries,
    many_models,
    per_example_gradients,
    prediction,
    report,
    sgd_epoch,
    sgd_step,
    vector_addition,
)

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
)
QUESTIONS = {module.__name__.rpartition(".")[2]: module.answer for module in _MODULES}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument(
        "questions",
        nargs="*",
        metavar="question",
        help=f"{', '.join(QUESTIONS)} (default: all); or table: print the results; or report: "
        "write them into the README, with pictures",
    )
    arguments.add_argument("--fast", action="store_true", help="a smoke test of a few seconds")
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
    return arguments


def main(words: list[str] | None = None) -> None:
    """Answer each question, write its result, and print its tables."""
    options = parser().parse_args(words)
    for question in options.questions:
        if question not in (*QUESTIONS, "table", "report"):
            parser().error(f"got {question!r}, expected {', '.join(QUESTIONS)}, table or report")
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
    for question in options.questions or QUESTIONS:
        result = QUESTIONS[question](
            directory=options.directory, fast=options.fast, rounds=options.rounds, say=_say
        )
        results.append(result)
        print(report.markdown(result))
        # A smoke test must not take the place of a measurement.
        out = options.out or (None if options.fast else report.RESULTS)
        if out:
            _say(f"wrote {report.write(result, out).name}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.plots:
        report.draw(results, options.plots)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
