"""Exit codes, and how errors become a message and an exit code."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from openrouter_async.errors import (
    AmbiguousCreateError,
    ConfigurationError,
    ForbiddenResponseError,
    InvalidRequestError,
    OpenRouterError,
    RotationError,
    SinkError,
    UnauthorizedResponseError,
)
from openrouter_async.report import plain, stamp


class Exit(enum.IntEnum):
    """Exit codes of the command."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    FAILED = 3
    INCOMPLETE = 4
    AMBIGUOUS = 5
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.DONE: "done",
    Exit.FINDINGS: "the audit has findings at or above --fail-on",
    Exit.USAGE: "usage or configuration error; nothing was changed",
    Exit.FAILED: "the service, the network or an output failed",
    Exit.INCOMPLETE: "only part of the work could be done or read",
    Exit.AMBIGUOUS: "a create may or may not have made a key",
    Exit.INTERRUPTED: "stopped by Ctrl-C, or declined at the prompt",
}
"""The codes shown in --help; 70 means a bug, 141 that the reader of standard output has gone."""


class CommandError(Exception):
    """An error that ends the command: a one-line message, an exit code, and lines of advice."""

    def __init__(self, message: str, code: Exit = Exit.USAGE, advice: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.advice = advice


def explain(error: OpenRouterError) -> CommandError:
    """Turn an error of the client into a `CommandError`."""
    message = plain(str(error))
    if isinstance(error, AmbiguousCreateError):
        return CommandError(message, Exit.AMBIGUOUS, _how_to_find(error))
    if isinstance(error, (ConfigurationError, InvalidRequestError)):
        return CommandError(message.replace("allow_insecure_http=True", "--allow-insecure-http"))
    if isinstance(error, SinkError) and not (error.hash or error.journal):
        return CommandError(message)
    if isinstance(error, (SinkError, RotationError)) and error.journal:
        return CommandError(message, Exit.FAILED, ["To continue: openrouter-keys recover"])
    if isinstance(error, UnauthorizedResponseError):
        message += ": the key is unknown, disabled, expired or deleted"
    elif isinstance(error, ForbiddenResponseError):
        message += ": managing keys requires a management key"
    return CommandError(message, Exit.FAILED)


_SKEW: Final = timedelta(minutes=5)
"""How far the service's clock may differ from this machine's."""


def _how_to_find(error: AmbiguousCreateError) -> list[str]:
    """Return advice on a key that may exist: what is known about it and how to look for it."""
    name = plain(error.name)
    advice = [f"A key named {name!r} may now exist; its plaintext is lost. It was not sent again."]
    if error.hash:
        advice.append(f"The response did contain its hash: {plain(error.hash)}")
    command = ["openrouter-keys list --all --include-disabled"]
    if error.workspace_id:
        command.append(f"--workspace {shlex.quote(plain(error.workspace_id))}")
    if error.not_before:
        command.append(
            f"--created-after {stamp((error.not_before - _SKEW).replace(microsecond=0))}"
        )
    advice.append(f"To find it:   {' '.join(command)}")
    advice.append("To delete it: openrouter-keys delete HASH")
    return advice
