"""What the command says of each error, and the exit code it ends with, row by row."""

from datetime import UTC, datetime

import pytest

from openrouter_async import errors
from openrouter_async.cli._exits import Exit, explain
from openrouter_async.errors import OpenRouterError

RECOVER = ["To continue: openrouter-keys recover"]
ROWS: list[tuple[OpenRouterError, Exit, list[str], str]] = [
    (errors.ConfigurationError("max_connections must be 1"), Exit.USAGE, [], "max_connections"),
    (errors.InvalidRequestError("limit must be a number"), Exit.USAGE, [], "limit"),
    (
        errors.ConfigurationError("use https, or allow_insecure_http=True"),
        Exit.USAGE,
        [],
        "or --allow-insecure-http",
    ),
    (errors.SinkError("file:x: No space left; no key was made"), Exit.USAGE, [], "no key was made"),
    (errors.SinkError("file:x: failed", hash="ab" * 32), Exit.FAILED, [], "file:x"),
    (errors.SinkError("file:x: failed", journal="/j"), Exit.FAILED, RECOVER, "file:x"),
    (errors.SinkError("file:x", journal="/j", hash="ab" * 32), Exit.FAILED, RECOVER, "file:x"),
    (errors.RotationError("the key is disabled"), Exit.FAILED, [], "the key is disabled"),
    (errors.RotationError("stopped", journal="/j"), Exit.FAILED, RECOVER, "stopped"),
    (
        errors.UnauthorizedResponseError("No auth"),
        Exit.FAILED,
        [],
        "No auth: the key is unknown, disabled, expired or deleted",
    ),
    (
        errors.ForbiddenResponseError("Forbidden"),
        Exit.FAILED,
        [],
        "Forbidden: managing keys requires a management key",
    ),
    (errors.NotFoundResponseError("Not found"), Exit.FAILED, [], "Not found"),
    (errors.APIConnectionError("cannot connect"), Exit.FAILED, [], "cannot connect"),
    (errors.APITimeoutError("no answer"), Exit.FAILED, [], "no answer"),
    (errors.ClientClosedError("the client is closed"), Exit.FAILED, [], "closed"),
    (errors.PagingError("no new key"), Exit.FAILED, [], "no new key"),
]


@pytest.mark.parametrize(("error", "code", "advice", "words"), ROWS, ids=lambda v: str(v)[:40])
def test_each_error(error: OpenRouterError, code: Exit, advice: list[str], words: str) -> None:
    """One line, one code, and what to do where something was left behind."""
    told = explain(error)
    assert (told.code, list(told.advice)) == (code, advice)
    assert words in told.message
    assert "\n" not in told.message


def test_an_ambiguous_create() -> None:
    """It says how to find the key: by name, in its workspace, from 5 minutes before."""
    began = datetime(2026, 7, 1, 12, 0, 0, 999, tzinfo=UTC)
    told = explain(
        errors.AmbiguousCreateError(
            "unknown", name="acme", workspace_id="w one", not_before=began, hash="ab" * 32
        )
    )
    assert told.code is Exit.AMBIGUOUS
    text = "\n".join(told.advice)
    assert "A key named 'acme' may now exist" in text
    assert "ab" * 32 in text
    assert "--workspace 'w one' --created-after 2026-07-01T11:55:00Z" in text
    assert "openrouter-keys delete HASH" in text


def test_an_ambiguous_create_of_which_little_is_known() -> None:
    """What is not known is not asked for."""
    text = "\n".join(explain(errors.AmbiguousCreateError("unknown", name="acme")).advice)
    assert "--workspace" not in text
    assert "--created-after" not in text
    assert "hash:" not in text
