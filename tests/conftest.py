"""Shared fixtures. Strict ranks: nothing in the library relies on implicit broadcasting."""

import collections
import logging
import os
import re
import sys

import jax
import jaxlib.version
import pytest

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # two workers share a GPU

MOST = 2  # cases of a test that run without --full
AS_USERS = "--as-users"

# XLA's older code generator compiles these programs in a third of the time, and in one piece in
# a tenth less: the workers keep all cores busy. Not every release has the switches, and one that
# has not ends at once. The workers inherit the environment.
QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
is_worker = "PYTEST_XDIST_WORKER" in os.environ
if not is_worker and AS_USERS not in sys.argv and jaxlib.version.__version__.startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
    os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # lowering is a tenth quicker

jax.config.update("jax_numpy_rank_promotion", "raise")


# Of which compiling as users do is the point, and which take long: with --as-users alone.
OF_COMPILERS = ("test_compiler", "test_guard", "test_chapter", "test_reference", "test_every_check")

# Where rounding is the subject too, all optimisations stay.
COMPILED_AS_EVER = {*OF_COMPILERS, "test_gram", "test_losses"}

CHEAP = (
    "test_layers",
    "test_files",
    "test_table",
    "test_trees",
    "test_checks",
)  # all of whose cases run: few of them compile

# These take longest, and one that began last would leave the other worker idle.
FIRST = ("test_readme", "test_selection", "test_convex", "test_row_space")


@pytest.fixture(scope="module", autouse=True)
def compiled_sooner(request):
    """Without LLVM's optimisations, which are a fifth of the time of the suite: it compiles."""
    name = request.module.__name__
    jax.config.update("jax_disable_most_optimizations", name not in COMPILED_AS_EVER)
    yield
    # Every program takes memory maps, of which a process may have 65,530: beyond them, compiling
    # ends in a segmentation fault.
    jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Run one test in double precision; the library never changes the setting itself."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compilations(caplog):
    """A function that counts the compilations so far of the program of a given name."""
    with jax.log_compiles(True), caplog.at_level(logging.WARNING, logger="jax"):
        yield lambda name: sum(
            bool(re.search(rf"Compiling (jit\()?{name}\b", record.getMessage()))
            for record in caplog.records
        )


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run every case of every table")
    parser.addoption(AS_USERS, action="store_true", help="compile as users do")


def pytest_collection_modifyitems(config, items):
    """Without an option: of a test with many cases two, the first and the last of its table."""
    full, as_users = config.getoption("--full"), config.getoption(AS_USERS)
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else 9)
    of_test = collections.defaultdict(list)
    for item in items:
        if not item.get_closest_marker("full") and not as_users:
            of_test[item.path, item.originalname].append(item)
    for cases in of_test.values():
        kept = {round(i * (len(cases) - 1) / (MOST - 1)) for i in range(MOST)}
        for place, item in enumerate(cases):
            if len(cases) > MOST and place not in kept and item.path.stem not in CHEAP:
                item.add_marker("full")

    def runs(item):
        compiled = as_users or item.path.stem not in OF_COMPILERS
        return compiled and (full or not item.get_closest_marker("full"))

    config.hook.pytest_deselected(items=[item for item in items if not runs(item)])
    items[:] = filter(runs, items)
