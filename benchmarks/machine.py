"""The machine of a result: what it is, what runs on it, and how fast it is right now.

No host name and no path: a result file is published.
"""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.harness import clock

_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "torch", "scikit-learn", "himalaya", "glum")


def describe(*, fast: bool = False) -> dict:
    """Everything that a reader needs to weigh a time."""
    device = jax.devices()[0]
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": _memory(),
        "device": f"{device.platform}: {device.device_kind}",
        "devices": jax.device_count(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": _dirty(),
        "matrix_product_gflops": round(matrix_product_gflops(256 if fast else 2048), 1),
        "memory_read_gb_per_s": round(memory_read(16 if fast else 256), 1),
    }


def name() -> str:
    """What a result file is called after: ``cpu-2cores``, or the kind of the accelerator."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"cpu-{cores()}cores"
    return "-".join(device.device_kind.lower().split())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def thread_counts() -> tuple[int, ...]:
    """One thread and all of them: more are not always quicker."""
    return tuple(sorted({1, cores()}))


def cost(program, *arguments) -> dict[str, float]:
    """FLOPs and bytes of a compiled program, as its compiler counts them; of a loop, one turn."""
    counted = program.lower(*arguments).compile().cost_analysis() or {}
    return {
        "flops": float(counted.get("flops", 0.0)),
        "bytes": float(counted.get("bytes accessed", 0.0)),
    }


def matrix_product_gflops(size: int) -> float:
    """Best of five float32 products of two square matrices, through XLA on the default device."""
    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    clock(lambda: product(a))
    return 2e-9 * size**3 / min(clock(lambda: product(a))[0] for _ in range(5))


def memory_read(megabytes: int) -> float:
    """GB/s of summing an array that no cache holds, best of five."""
    a = jnp.ones(megabytes * 2**20 // 4, jnp.float32)
    total = jax.jit(jnp.sum)
    clock(lambda: total(a))
    return 1e-9 * a.nbytes / min(clock(lambda: total(a))[0] for _ in range(5))


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):  # not on every system
        return None


def _versions() -> dict[str, str | None]:
    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {package: version(package) for package in _PACKAGES}


def _dirty() -> bool | None:
    """Whether code differs from the commit; a new result file does not make it another code."""
    changes = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return None if changes is None else bool(changes)


def _git(*words: str) -> str | None:
    try:
        root = Path(__file__).parents[1]
        answer = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
