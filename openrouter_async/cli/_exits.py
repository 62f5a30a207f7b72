"""Exit codes, and what people are told with each: the one place."""

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
    """What the command ends with."""

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
    Exit.USAGE: "usage or configuration; nothing was changed",
    Exit.FAILED: "the service, the network or an output failed",
    Exit.INCOMPLETE: "only a part could be done or read",
    Exit.AMBIGUOUS: "a create may or may not have made a key",
    Exit.INTERRUPTED: "stopped by Ctrl-C, or by answering no",
}
"""Those that users should know; 70 is a bug, 141 a reader that went away."""


class CommandError(Exception):
    """The command ends here: one line for people, an exit code, and perhaps what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE, advice: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.advice = advice


def explain(error: OpenRouterError) -> CommandError:
    """Describe an error of the client in one line."""
    message = plain(str(error))
    if isinstance(error, AmbiguousCreateError):
        return CommandError(message, Exit.AMBIGUOUS, _how_to_find(error))
    if isinstance(error, (ConfigurationError, InvalidRequestError)):
        return CommandError(message.replace("allow_insecure_http=True", "--allow-insecure-http"))
    if isinstance(error, SinkError) and not (error.hash or error.journal):
        return CommandError(message)
    if isinstance(error, (SinkError, RotationError)) and error.journal:
        return CommandError(message, Exit.FAILED, ["To go on:    openrouter-keys recover"])
    if isinstance(error, UnauthorizedResponseError):
        message += ": the key is unknown, disabled, expired or deleted"
    elif isinstance(error, ForbiddenResponseError):
        message += ": managing keys takes a management key"
    return CommandError(message, Exit.FAILED)


_SKEW: Final = timedelta(minutes=5)
"""How far the service's clock may be from this machine's."""


def _how_to_find(error: AmbiguousCreateError) -> list[str]:
    """Describe what is known of a key that may exist, and how to look for it."""
    name = plain(error.name)
    advice = [f"A key named {name!r} may exist now; its plaintext is lost. It was not sent again."]
    if error.hash:
        advice.append(f"The answer still showed its hash: {plain(error.hash)}")
    command = ["openrouter-keys list --all --include-disabled"]
    if error.workspace_id:
        command.append(f"--workspace {shlex.quote(plain(error.workspace_id))}")
    if error.not_before:
        command.append(
            f"--created-after {stamp((error.not_before - _SKEW).replace(microsecond=0))}"
        )
    advice.append(f"To find it:  {' '.join(command)}")
    advice.append("To end it:   openrouter-keys delete HASH")
    return advice
