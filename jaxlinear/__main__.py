"""The command line: ``jaxlinear train``, ``predict``, ``show``, ``audit`` and ``data``."""

import argparse
import os
import sys
from collections.abc import Sequence

import jax

import jaxlinear
from jaxlinear import compiler
from jaxlinear.cli import data, losses, predict, show, solvers, target, train
from jaxlinear.data.problems import TableError


def parser() -> argparse.ArgumentParser:
    """All commands and options, each with its help."""
    top = argparse.ArgumentParser(
        prog="jaxlinear", description="Train and use linear models with JAX."
    )
    top.add_argument("--version", action="version", version=f"jaxlinear {jaxlinear.__version__}")
    subcommands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, function, help):
        sub = subcommands.add_parser(
            name,
            help=help,
            description=help,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.set_defaults(command=function)
        return sub

    _add_train(command("train", train.run, "Train a model, and save it with a report."))
    _add_predict(command("predict", predict.run, "Predict with a model, and print a .csv table."))
    _add_show(command("show", show.run, "Print what a model file holds."))
    text = "Tell whether a model of scikit-learn is at its optimum, on the data of its fit."
    _add_audit(command("audit", _audit, text))
    _add_data(command("data", data.run, "Prepare a data set, or verify the prepared one."))
    return top


def _add_train(sub: argparse.ArgumentParser) -> None:
    option = sub.add_argument
    option(
        "--dataset",
        default="sample",
        help="sample (7,000 images of Fashion-MNIST, embedded), fashion_mnist (all 70,000), or "
        "a file: .npz with x and y, .npy with --target, or a table: .csv, .tsv, .csv.gz, "
        ".parquet, .arrow",
    )
    option("--directory", help="where Fashion-MNIST lies, or is prepared")
    option(
        "--target",
        nargs="+",
        action="extend",
        default=[],
        help="the column of a table to predict, or several, or the .npy file",
    )
    option(
        "--task",
        choices=sorted(target.TASKS),
        help="what the target is: classes, labels (0 and 1, that do not exclude each other), "
        "numbers or counts; default: what it looks like",
    )
    option(
        "--loss",
        choices=sorted(losses.LOSSES),
        help="default: softmax_cross_entropy for classes, squared_error for numbers",
    )
    option(
        "--solver",
        choices=["auto", *solvers.SOLVERS],
        default="auto",
        help="newton: to the optimum, for smooth losses; exact: least squares, solved at once; "
        "sgd: many small steps, for every loss; auto: to the optimum, but for images and losses "
        "with kinks",
    )
    option(
        "--l2",
        type=float,
        help="strength of the penalty on the weights; default: chosen by cross-validation with "
        "--solver auto to the optimum, else 0",
    )
    option("--seed", type=int, default=0, help="for the split, and the order of the examples")
    option(
        "--test-fraction",
        type=float,
        default=0.2,
        help="part of the rows to test on, where the file has no test rows of its own",
    )
    option("--no-standardize", action="store_true", help="train on the columns of a file as is")
    option("--no-plots", action="store_true", help="make no pictures")
    _add_no_cache(sub)
    option("--out", default="jaxlinear-out", help="directory for model, report and pictures")
    option(
        "--model-format",
        choices=["npz", "safetensors"],
        default="npz",
        help="of the model file: NumPy's, or that which torch and others read too",
    )
    _add_columns(sub.add_argument_group("what the columns of a table are for"))
    _add_text(sub.add_argument_group("how a text file is written, where looking does not tell"))
    _add_sgd(sub.add_argument_group("options of --solver sgd, which they ask for"))


def _add_no_cache(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--no-cache",
        action="store_true",
        help="do not keep compiled programs in the cache directory of the user for the next time",
    )


def _add_columns(group) -> None:
    def option(name, help, **kind):
        group.add_argument(f"--{name}", help=help, **kind)

    columns = {"nargs": "+", "action": "extend", "default": [], "metavar": "COLUMN"}
    option("drop", "columns to leave out", **columns)
    option(
        "formula",
        "target and features as a formula, such as 'price ~ rooms * C(city) + log(area)', in place "
        "of --target",
        metavar="FORMULA",
    )
    option("keep", "columns to keep, although they look like names of the rows", **columns)
    option("categorical", "columns of categories, beside words that repeat", **columns)
    option(
        "missing",
        "what becomes of missing values: drop the row, or fill in",
        choices=["error", "drop", "mean", "median", "indicator"],
        default="error",
    )
    option("dates", "what becomes of dates", choices=["error", "days", "parts"], default="days")
    column = {"metavar": "COLUMN"}
    option("weight", "how much every row counts", **column)
    option("offset", "added to the outputs, such as the logarithm of an exposure", **column)
    option("group", "rows of one group are in one set together", **column)
    option("time", "the last rows in time are the test rows", **column)


def _add_show(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", help="model file, written by train")
    sub.add_argument("--all", action="store_true", help="show every coefficient")


def _add_text(group) -> None:
    option = group.add_argument
    option("--sep", dest="separator", help="what separates the columns, such as ';'")
    option("--decimal", help="the decimal mark, '.' or ','")
    option("--encoding", help="such as latin-1; UTF-8 and UTF-16 are found")
    option("--no-header", action="store_true", help="the first row is an example; columns are 1, 2")
    option(
        "--na", nargs="+", action="extend", default=[], help="more words that mean a missing number"
    )


def _add_sgd(group) -> None:
    """Options that are absent unless given, so that another solver can refuse them."""

    def option(name, kind, help, otherwise=None):
        default = solvers.SGD_DEFAULTS[name.replace("-", "_")]
        default = otherwise if default is None else default
        text = f"{help} (default: {default})"
        group.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=text)

    option("epochs", int, "passes over the training examples", "10, and 1,000 steps at least")
    option("lr", float, "learning rate")
    option("batch-size", int, "examples in a step")
    option("momentum", float, "momentum, in [0, 1)")
    option(
        "patience", int, "stop after so many epochs without a better loss of a fifth of the rows"
    )
    option("checkpoint", str, "file that keeps the run; the same command goes on with it", "none")


def _add_predict(sub: argparse.ArgumentParser) -> None:
    option = sub.add_argument
    option("model", help="model file, written by train")
    option("data", help="sample, fashion_mnist, or a file, as in train")
    option("--directory", help="where Fashion-MNIST lies")
    option("--out", help="write the table to this file instead")
    _add_no_cache(sub)
    _add_text(sub.add_argument_group("how a text file is written, where looking does not tell"))


def _add_audit(sub: argparse.ArgumentParser) -> None:
    option = sub.add_argument
    option("model", help="a fitted estimator or pipeline in a file of joblib, or a pickle")
    option("data", help="the table that it was fitted to: .csv, .tsv, .csv.gz, .parquet, .arrow")
    option("--target", required=True, metavar="COLUMN", help="the column that it predicts")
    option("--weight", metavar="COLUMN", help="how much every row counted")
    option(
        "--trust",
        action="store_true",
        help="open the pickle, which runs whatever code it holds: only if you know who wrote it",
    )
    _add_text(sub.add_argument_group("how a text file is written, where looking does not tell"))


def _audit(options) -> None:
    from jaxlinear.cli import audit  # loads pyarrow, scikit-learn and pandas

    audit.run(options)


def _add_data(sub: argparse.ArgumentParser) -> None:
    option = sub.add_argument
    option("name", choices=["fashion_mnist"], help="which data set")
    option("--directory", help="where it lies, or is to be prepared")


def command_line() -> int:
    """``main`` as a process of its own, whose programs run once, and are kept for the next."""
    compiler.compile_sooner()
    return main(keep=True)


def main(arguments: Sequence[str] | None = None, *, keep: bool = False) -> int:
    """Run one command; wrong input is one line on standard error and exit code 1."""
    options = parser().parse_args(arguments)
    try:
        _keep_programs(options, keep)
        options.command(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        message = getattr(error, "strerror", None) or str(error)
        if getattr(error, "filename", None):
            message = f"{error.filename}: {message}"
        lines = message.splitlines() if isinstance(error, TableError) else [message]
        told = "\n".join(" ".join(line.split()) for line in lines)
        print(f"jaxlinear: error: {told}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = getattr(options, "checkpoint", None)
        saved = f"the same command goes on with {kept}" if kept else "nothing was saved"
        print(f"\njaxlinear: interrupted; {saved}", file=sys.stderr, flush=True)
        os._exit(130)  # a compiled run in the background does not hear of Ctrl-C
    return 0


def _keep_programs(options: argparse.Namespace, keep: bool) -> None:
    """As --no-cache, the environment and ``keep`` say; only what was asked for can be an error."""
    if getattr(options, "no_cache", False):
        jax.config.update("jax_enable_compilation_cache", False)
    elif os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        compiler.cache()  # JAX keeps what took more than a second, this keeps all
    elif keep and "no_cache" in options:
        try:
            compiler.keep_programs()
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
            print(f"jaxlinear: compiled programs are not kept: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(command_line())
