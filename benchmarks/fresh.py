"""A process of its own, in which nothing that this one has imported or compiled helps."""

import os
import subprocess
import sys
from pathlib import Path

_NOT_INHERITED = ("JAX_COMPILATION_CACHE_DIR",)


def last_line(*arguments: str, **environment: str) -> str:
    """The last line that Python prints with these arguments; RuntimeError with its last error."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[1],
        env=inherited | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout.splitlines()[-1]
