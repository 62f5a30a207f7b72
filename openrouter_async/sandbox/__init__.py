"""The service on loopback, for tests, demonstrations and experiments.

    with Sandbox(keys=250) as box:
        ...  # any client, with box.url and box.management_key

It serves the operations of the table over real HTTP, backed by an account in memory.
"""

from __future__ import annotations

from openrouter_async.sandbox._http import SandboxRequest
from openrouter_async.sandbox._sandbox import Sandbox
from openrouter_async.sandbox._seed import EXAMPLE_HASH

__all__ = ["EXAMPLE_HASH", "Sandbox", "SandboxRequest"]
