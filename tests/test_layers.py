"""The architecture: imports point down, the top level stays small, and the import stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxlinear"

# A module imports from its own row only what stands to its left, and from the rows above.
LAYERS = [
    ["types", "compiler", "costs"],
    ["_arrays"],
    ["_digits"],
    ["_checks"],
    ["models"],
    ["penalties", "losses", "information", "progress", "sgd", "factor", "implicit"],
    ["sweep"],
    ["objective"],
    ["metrics", "data"],
    ["train", "residual", "gram", "resample"],
    ["sharding", "spectral"],
    ["exact", "leave_one_out", "curvature", "lbfgs", "conjugate_gradients"],
    ["row_space"],
    ["columns", "line_search"],
    ["newton"],
    ["certificate"],
    ["recipes", "convex", "cross_validation", "inference"],
    ["plots", "model_file", "selection"],
    ["__init__"],
    ["commands"],
    ["__main__"],
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}


def imported_modules(path):
    """The modules of the package that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxlinear"):
            parts = node.module.split(".")
            yield from (
                [parts[1]]
                if len(parts) > 1
                else [alias.name if alias.name in RANK else "__init__" for alias in node.names]
            )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "jaxlinear":
                    yield [*alias.name.split("."), "__init__"][1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_point_down(path):
    inside = path.relative_to(PACKAGE).parts
    name = inside[0].removesuffix(".py")
    for other in imported_modules(path):
        own_package = len(inside) > 1 and other == name
        assert own_package or RANK[other] < RANK[name], f"{name} imports {other}"


def test_the_top_level_holds_what_the_design_says():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    top = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    assert top <= {"jaxlinear", "benchmarks", "tests", "pyproject.toml", "README.md", "LICENSE"}


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_loads_nothing_heavy_touches_no_device_and_changes_no_setting():
    # What jax then imports of itself may bring settings of its own.
    loaded = run(
        "import sys, jax; before = dict(jax.config.values)\n"
        "import jaxlinear\n"
        "after = {name: jax.config.values[name] for name in before}\n"
        "assert after == before, 'the import changed jax.config'\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized(), 'the import touched a device'\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    for heavy in (
        "tensorflow",
        "tensorflow_datasets",
        "torch",
        "sklearn",
        "matplotlib",
        "pyarrow",
        "pandas",
    ):
        assert f"'{heavy}'" not in loaded


def test_import_adds_no_package_to_those_it_needs():
    """What takes time at the import is other packages: there are none beyond these three."""
    added = run(
        "import sys, jax, jaxtyping, optax; before = set(sys.modules)\n"
        "import jaxlinear\n"
        "added = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*(added - sys.stdlib_module_names))"
    )
    assert set(added.split()) == {"jaxlinear", "jax", "jaxtyping", "wadler_lindig"}  # its printer


def test_public_names_are_documented():
    import jaxlinear as jl

    for name in jl.__all__:
        public = getattr(jl, name)
        if name not in ("Scalar",):
            assert public.__doc__, name
