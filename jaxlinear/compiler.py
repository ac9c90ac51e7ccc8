"""What the compiler is told: where to keep programs, how to make them sooner, what to leave out.

A first call is nearly all compiling, about 10 ms for each of some hundred small operations.
``cache`` keeps what was compiled for the next process. ``compile_sooner`` is for a process whose
programs run once, such as the command line. And of some releases of jaxlib one is warned.

Since 0.10.2 jaxlib hands sums and products on CPU to YNNPACK. What was found, by release:

- 0.10.2: wrong sums in some products of more than 32,768 rows (jax-ml/jax#39103), no return from
  a program of thousands of fits, and a crash on arrays of seven axes (#40412).
- 0.11.0: a crash or no return on sums over arrays of eight axes (#39257), as nested ``vmap`` makes.
- 0.11.1, 0.11.2 and 0.12.0 have none of these.
"""

import os
import warnings
from pathlib import Path

import jax
import jaxlib.version

_FAULTS = {
    "0.10.2": "computes wrong sums, and may never return from a program of many fits",
    "0.11.0": "crashes on, or never returns from, arrays of eight axes",
}
_WITHOUT = "--xla_cpu_experimental_ynn_fusion_type="  # an empty list of what is handed over


# The older generator of kernels, and fewer passes of LLVM. On 2 cores first calls take 0.4 to 0.8
# of the time. Of what runs again and again softmax of 1,797 × 64 takes 1.6, and most 0.9 to 1.1.
_SOONER = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1"


def cache(directory: str | os.PathLike | None = None) -> Path:
    """Keep every compiled program in a directory, where the next process finds it.

    With its program kept, the first call of a fit takes a quarter of the time: what is left is
    tracing. Call it once, before the fits. The default is ``$JAX_COMPILATION_CACHE_DIR``, else
    ``jaxlinear`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``. Programs of other releases, devices
    and flags lie beside each other there; nothing is ever deleted. It is JAX's persistent cache,
    ``jax.config.jax_compilation_cache_dir``, with programs of any size and any compile time.

    On CPU jaxlib 0.10 logs an error about ``+prefer-no-gather`` for a program that is found: it
    means nothing on the machine that compiled it, and ``TF_CPP_MIN_LOG_LEVEL=3`` in the environment
    of Python silences it. Machines whose CPUs differ should not share a directory.

    Returns the directory, which is made. Raises OSError where it cannot be written.
    """
    given = directory or jax.config.jax_compilation_cache_dir
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    found = Path(given or Path(home) / "jaxlinear").expanduser()
    found.mkdir(parents=True, exist_ok=True)
    if not os.access(found, os.W_OK):
        raise PermissionError(f"{found} cannot be written; name another directory.")
    jax.config.update("jax_compilation_cache_dir", str(found))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return found


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
