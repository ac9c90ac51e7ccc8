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

MOST = 3  # cases of a test that run without --full
AS_USERS = "--as-users"

# XLA's older code generator compiles these programs in a third of the time. Not every release has
# the switch, and one that has not ends at once. The workers inherit the environment.
QUICK = "--xla_cpu_use_fusion_emitters=false"
is_worker = "PYTEST_XDIST_WORKER" in os.environ
if not is_worker and AS_USERS not in sys.argv and jaxlib.version.__version__.startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()

jax.config.update("jax_numpy_rank_promotion", "raise")


# Where rounding or the compiler is the subject, or what users run: compiled as theirs.
COMPILED_AS_EVER = {
    *("test_reference", "test_gram", "test_losses", "test_chapter"),
    *("test_compiler", "test_guard"),
}


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
    """Of a test with many cases only some run, from all over its table, without an option."""
    of_test = collections.defaultdict(list)
    for item in items:
        if not item.get_closest_marker("full") and not config.getoption(AS_USERS):
            of_test[item.path, item.originalname].append(item)
    for cases in of_test.values():
        kept = {round(i * (len(cases) - 1) / (MOST - 1)) for i in range(MOST)}
        for place, item in enumerate(cases):
            if len(cases) > MOST and place not in kept:
                item.add_marker("full")
    if not config.getoption("--full"):
        left_out = pytest.mark.skip(reason="one more case: pytest --full runs it")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(left_out)
