"""``python -m benchmarks``: answer questions, or print the tables of earlier answers."""

import argparse
import sys
from pathlib import Path

from benchmarks import convex_fits, exact_fits, report, sgd_epoch

QUESTIONS = {
    "sgd_epoch": sgd_epoch.answer,
    "exact_fits": exact_fits.answer,
    "convex_fits": convex_fits.answer,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument(
        "questions",
        nargs="*",
        metavar="question",
        help=f"{', '.join(QUESTIONS)}, or table: print the results (default: all questions)",
    )
    arguments.add_argument("--fast", action="store_true", help="a smoke test of a few seconds")
    arguments.add_argument("--directory", help="where Fashion-MNIST lies, or is to lie")
    arguments.add_argument(
        "--out",
        type=Path,
        help=f"where results go (default: {report.RESULTS.name}/, nowhere with --fast)",
    )
    arguments.add_argument("--rounds", type=int, default=7, help="timed runs of each rival (7)")
    return arguments


def main(words: list[str] | None = None) -> None:
    """Answer each question, write its result file, and print its table."""
    options = parser().parse_args(words)
    for question in options.questions:
        if question not in (*QUESTIONS, "table"):
            parser().error(f"got {question!r}, expected {', '.join(QUESTIONS)} or table")
    if "table" in options.questions:
        print("\n\n".join(map(report.markdown, report.read(options.out or report.RESULTS))))
        return
    for question in options.questions or QUESTIONS:
        result = QUESTIONS[question](
            directory=options.directory, fast=options.fast, rounds=options.rounds, say=_say
        )
        print(report.markdown(result))
        # A smoke test must not take the place of a measurement.
        out = options.out or (None if options.fast else report.RESULTS)
        if out:
            _say(f"wrote {report.write(result, out).name}")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
