"""The architecture: imports point down, the top level stays small, and the import stays light."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxlinear"

# A part, a folder or a module beside them, imports only from the rows above its own.
LAYERS = [
    ["types", "compiler", "files"],
    ["checks", "loops"],
    ["rows", "endings", "choice"],
    ["model", "linalg"],
    ["exact", "convex", "training", "many", "data"],
    ["inference", "probes", "streams"],
    ["__init__"],
    ["sklearn", "torch"],
    ["cli"],
    ["examples", "__main__"],
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def module_of(names):
    """The module that ``import jaxlinear.<names>`` or a ``from`` of its last name loads."""
    for end in range(len(names), -1, -1):
        name = ".".join(names[:end])
        for candidate in (name, f"{name}.__init__".lstrip(".")):
            if candidate in MODULES:
                return candidate
    raise AssertionError(names)


def imported_modules(path):
    """The modules of the package that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxlinear"):
            base = node.module.split(".")[1:]
            yield from (module_of([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "jaxlinear":
                    yield module_of(alias.name.split(".")[1:])


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    part = name.split(".")[0]
    for other in imported_modules(MODULES[name]):
        below = other.split(".")[0]
        assert below == part or RANK[below] < RANK[part], f"{name} imports {other}"


def test_no_imports_go_round():
    imports = {name: set(imported_modules(path)) for name, path in MODULES.items()}
    while imports:
        free = {name for name, others in imports.items() if not others & imports.keys()}
        assert free, f"these import each other: {sorted(imports)}"
        imports = {name: others for name, others in imports.items() if name not in free}


def test_questions_of_the_benchmarks_do_not_import_each_other():
    for path in (ROOT / "benchmarks" / "questions").glob("*.py"):
        assert "benchmarks.questions" not in path.read_text(), path.name


def test_a_module_is_one_idea():
    lines = sorted(len(path.read_text().splitlines()) for path in MODULES.values())
    assert lines[-1] <= 300 and lines[len(lines) // 2] <= 150


def test_no_public_name_shadows_a_module():
    """Neither ``jaxlinear.sgd``, a function, nor a module of that name in its place."""
    import types

    import jaxlinear as jl

    for parent in (jl, jl.data, jl.inference, jl.probes, jl.streams):
        for name in parent.__all__:
            value = getattr(parent, name)
            if not isinstance(value, types.ModuleType):
                assert importlib.util.find_spec(f"{parent.__name__}.{name}") is None, name


PUBLIC = [
    *("data", "gram", "inference", "information", "losses", "metrics", "model_file"),
    *("penalties", "plots", "probes", "resample", "sharding", "sklearn", "streams", "torch"),
    "train",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_shows_what_is_public_in_it(name):
    """All that it defines without an underscore, but for the names of types in signatures."""
    import jaxlinear as jl

    if name in ("sklearn", "torch"):  # which are imported by name, where they are installed
        pytest.importorskip(name)
        importlib.import_module(f"jaxlinear.{name}")
    module = getattr(jl, name)
    assert all(getattr(module, public).__doc__ for public in module.__all__)
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    }
    assert defined <= set(module.__all__), defined - set(module.__all__)


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
