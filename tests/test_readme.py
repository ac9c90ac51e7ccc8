"""The README's code runs, in order, and its commands are those that exist."""

import re
import shlex
from pathlib import Path

import jax
import pytest

from jaxlinear.__main__ import parser

README = (Path(__file__).parents[1] / "README.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


def test_the_code_runs():
    names = {}
    with jax.numpy_rank_promotion("allow"):  # as users have it
        for number, block in enumerate(CODE):
            exec(compile(block, f"README block {number}", "exec"), names)
    assert names["many"].params.w.shape == (16, 10, 784)
    assert float(names["fit"].validation["accuracy"][-1]) > 0.7
    assert int(names["longer"].report.steps) == 15 * 24


@pytest.mark.parametrize("line", [line for line in SHELL.splitlines() if line.startswith("jaxl")])
def test_the_commands_parse(line):
    arguments = shlex.split(line, comments=True)[1:]
    if "--help" not in arguments:
        parser().parse_args(arguments)


def test_the_modules_of_the_tour_exist():
    package = Path(__file__).parents[1] / "jaxlinear"
    tour = README.split("## Tour")[1].split("## The chapter")[0]
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", tour, re.M))))
    modules = {p.stem for p in package.glob("[!_]*") if p.suffix == ".py" or p.is_dir()}
    assert modules - {"py", "progress"} <= named | {"progress"}, modules - named


def test_the_figures_are_those_of_the_result_files():
    from benchmarks import report

    for name, block in report.blocks(report.read()).items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        page = report.PAGES[name].read_text()
        assert page.split(begin)[1].split(end)[0].strip() == block.strip()


def test_the_pictures_are_there():
    root = Path(__file__).parents[1]
    for page in (root / "README.md", root / "benchmarks" / "README.md"):
        for path in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text()):
            assert (page.parent / path).stat().st_size > 10_000
