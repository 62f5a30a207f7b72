"""Create, store and replace keys without ever losing a plaintext.

The methods are on `client.api_keys`: `provision`, `rotate`, `finish_rotations`, `roll_back`,
`recover`, `resume`, `find_candidates`. This package has their sinks, the types that they return,
and the two functions that need no client: `unfinished` and `dismiss`.
"""

from openrouter_async.provisioning._provision import dismiss
from openrouter_async.provisioning._recovery import FinishedRotation, Outcome
from openrouter_async.provisioning._rotate import Rotation
from openrouter_async.provisioning._sinks import (
    AnySink,
    CallableSink,
    DotenvSink,
    FileSink,
    ProvisionedKey,
    Sink,
    StdoutSink,
)
from openrouter_async.provisioning._unfinished import State, Unfinished, unfinished

__all__ = [
    "AnySink",
    "CallableSink",
    "DotenvSink",
    "FileSink",
    "FinishedRotation",
    "Outcome",
    "ProvisionedKey",
    "Rotation",
    "Sink",
    "State",
    "StdoutSink",
    "Unfinished",
    "dismiss",
    "unfinished",
]
