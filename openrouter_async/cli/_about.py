"""The program's version, apart from typer: `--version` needs no import."""

from __future__ import annotations

import sys

from openrouter_async._version import __version__


def version_line() -> str:
    """Return what --version shows."""
    return f"openrouter-keys {__version__} (Python {sys.version.split()[0]})"
