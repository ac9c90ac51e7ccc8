"""What the compiler is told: where to keep programs, how to make them sooner, what to leave out.

A first call is nearly all compiling, about 10 ms for each of some hundred small operations.
``cache`` keeps what was compiled for the next process. ``keep_programs`` and ``compile_sooner`` are
for the command line, whose programs run once. And of some releases of jaxlib one is warned.

Since 0.10.2 jaxlib hands sums and products on CPU to YNNPACK. What was found, by release:

- 0.10.2: wrong sums in some products of more than 32,768 rows (jax-ml/jax#39103), no return from
  a program of thousands of fits, and a crash on arrays of seven axes (#40412).
- 0.11.0: a crash or no return on sums over arrays of eight axes (#39257), as nested ``vmap`` makes.
- 0.11.1, 0.11.2 and 0.12.0 have none of these.
"""

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path

import jax
import jaxlib.version

_FAULTS = {
    "0.10.2": "computes wrong sums, and may never return from a program of many fits",
    "0.11.0": "crashes on, or never returns from, arrays of eight axes",
}
_KEPT = 2**28  # bytes of programs; those of a table of a few columns have about 2**20
_WITHOUT = "--xla_cpu_experimental_ynn_fusion_type="  # an empty list of what is handed over


# The older generator of kernels, and fewer passes of LLVM. On 2 cores first calls take 0.4 to 0.8
# of the time. Of what runs again and again softmax of 1,797 × 64 takes 1.6, and most 0.9 to 1.1.
_SOONER = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"


def cache(directory: str | os.PathLike | None = None) -> Path:
    """Keep every compiled program in a directory, where the next process finds it.

    With its program kept, the first call of a fit takes a quarter of the time: what is left is
    tracing. Call it once, before the fits. The default is ``$JAX_COMPILATION_CACHE_DIR``, else a
    folder for CPUs like this one in ``jaxlinear`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``
    (macOS: ``~/Library/Caches``, Windows: ``%LOCALAPPDATA%``). Programs of other releases, devices
    and flags lie beside each other there; nothing is ever deleted. It is JAX's persistent cache,
    ``jax.config.jax_compilation_cache_dir``, with programs of any size and any compile time.

    On CPUs with AVX-512 jaxlib 0.10 logs an error about ``+prefer-no-gather`` for a program that is
    found (openxla/xla#44565): it means nothing on the machine that compiled it, and
    ``TF_CPP_MIN_LOG_LEVEL=3`` in the environment of Python silences it. Machines whose CPUs differ
    should not share a directory of your own. JAX keeps no program that calls the host back, such as
    that of ``sgd_fit`` with a callback.

    Returns the directory, which is made. Raises OSError where it cannot be written.
    """
    given = directory or jax.config.jax_compilation_cache_dir
    found = Path(given or _of_user() / "jaxlinear" / _kind_of_cpu()).expanduser()
    found.mkdir(parents=True, exist_ok=True)
    if not os.access(found, os.W_OK):
        raise PermissionError(f"{found} cannot be written; name another directory.")
    jax.config.update("jax_compilation_cache_dir", str(found))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return found


def _of_user() -> Path:
    """Where programs keep what can be made anew."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    usual = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual)


def _kind_of_cpu() -> str:
    """A name for all CPUs of the same instructions: a program for others may end the process."""
    told = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        pass  # not on Linux
    return f"{platform.machine()}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def trim(directory: Path, size: int) -> None:
    """Remove the programs that were kept first, until the others have ``size`` bytes at most."""
    kept = [(path.stat().st_mtime_ns, path) for path in directory.glob("*-cache")]
    for _, path in sorted(kept, reverse=True):
        size -= path.stat().st_size
        if size < 0:
            path.unlink(missing_ok=True)


def keep_programs() -> None:
    """``cache`` of a process of its own: of bounded size, and without what is logged of it.

    XLA logs kilobytes for every program that is found, as an error, of what ``cache`` says means
    nothing. Where nobody has set ``TF_CPP_MIN_LOG_LEVEL`` such logs of XLA are no longer shown;
    what fails raises an exception, or ends the process with a message, as ever. Loggers of Python
    stay as they are.
    """
    trim(cache(), _KEPT)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # which JAX sets at its import
        before = jax.config.jax_logging_level
        jax.config.update("jax_logging_level", "CRITICAL")  # of XLA too, which None leaves so
        jax.config.update("jax_logging_level", before)


def compile_sooner() -> None:
    """Have programs for CPU compiled in half the time, unless ``XLA_FLAGS`` say something else.

    Only before the first computation of a process, and of releases that are known to have the
    switches: others would end at once.
    """
    if "XLA_FLAGS" not in os.environ and jaxlib.version.__version__.startswith("0.10."):
        os.environ["XLA_FLAGS"] = _SOONER


def warn_of_known_faults() -> None:
    """Warn of a release of ``_FAULTS``; looks at its number, and touches no device or setting."""
    release = jaxlib.version.__version__
    if release not in _FAULTS or _WITHOUT in os.environ.get("XLA_FLAGS", "").split():
        return
    others = ",".join(f"!={bad}" for bad in _FAULTS)
    warnings.warn(
        f"jaxlib {release} {_FAULTS[release]}, on CPU. Install another, with pip install "
        f"'jax{others}' 'jaxlib{others}'; or start Python with XLA_FLAGS={_WITHOUT} in the "
        "environment, which turns off the part that is to blame.",
        RuntimeWarning,
        stacklevel=3,
    )
