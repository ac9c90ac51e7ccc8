"""The releases of jaxlib whose compiler is known to be wrong: one warning, with the way out.

Since 0.10.2 jaxlib hands sums and products on CPU to YNNPACK. What was found, by release:

- 0.10.2: wrong sums in some products of more than 32,768 rows (jax-ml/jax#39103), no return from
  a program of thousands of fits, and a crash on arrays of seven axes (#40412).
- 0.11.0: a crash or no return on sums over arrays of eight axes (#39257), as nested ``vmap`` makes.
- 0.11.1, 0.11.2 and 0.12.0 have none of these.
"""

import os
import warnings

import jaxlib.version

_FAULTS = {
    "0.10.2": "computes wrong sums, and may never return from a program of many fits",
    "0.11.0": "crashes on, or never returns from, arrays of eight axes",
}
_WITHOUT = "--xla_cpu_experimental_ynn_fusion_type="  # an empty list of what is handed over


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
