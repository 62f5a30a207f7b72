"""What came back, and what it means: pure functions of status, headers and bytes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import attrs

from openrouter_async import _converter
from openrouter_async._converter import as_object
from openrouter_async._operations import Operation
from openrouter_async.errors import (
    ERRORS_BY_STATUS,
    OpenRouterDefaultError,
    OpenRouterError,
    ResponseTooLargeError,
    ResponseValidationError,
    UnexpectedRedirectError,
)
from openrouter_async.secret import Secret, scrub

Out = TypeVar("Out")

_LONGEST_BODY: Final = 2048
_LONGEST_MESSAGE: Final = 300
_HIDDEN_HEADERS: Final = frozenset({"set-cookie", "authorization", "proxy-authorization"})


@attrs.frozen(kw_only=True)
class Reply:
    """An answer as it was read off the wire."""

    status: int
    headers: Mapping[str, str]
    """Any case-insensitive mapping."""
    body: bytes = attrs.field(repr=False)
    truncated: bool = False
    """The connection broke before the body's end."""
    too_large: bool = False
    """The body is longer than was read."""
    received_at: float
    """Seconds since 1970, for a `Retry-After` that is a date."""


def interpret(operation: Operation[Any, Out], reply: Reply, *known: Secret) -> Out:
    """Turn an answer into what the operation returns; raises the error it stands for.

    `known` are secrets to mask in an error's texts, whatever their shape.
    """
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise error_of(reply, *known)
    if reply.too_large:
        raise _unreadable(ResponseTooLargeError("the answer is too large"), reply, *known)
    try:
        return _converter.decode(operation.returns, reply.body)
    except ResponseValidationError as error:
        problem = error.message
    if reply.truncated:
        problem = "the answer ends too early"
    raise _unreadable(ResponseValidationError(problem), reply, *known)


def _unreadable(
    error: ResponseValidationError, reply: Reply, *known: Secret
) -> ResponseValidationError:
    for name, value in _facts(reply, *known).items():
        setattr(error, name, value)
    return error


def error_of(reply: Reply, *known: Secret) -> OpenRouterError:
    """Build the error for an answer outside 2XX; its class follows the status alone.

    The body may be the documented `{"error": {…}}`, any other JSON, HTML, or nothing.
    """
    facts = _facts(reply, *known)
    document = _parse(reply.body)
    said = document.get("error")
    details = as_object(said)
    metadata = as_object(details.get("metadata"))
    code = details.get("code")
    facts["code"] = code if isinstance(code, int) else _text(code, *known)
    facts["metadata"] = _scrubbed(metadata, *known) if metadata else None
    facts["error_type"] = _text(metadata.get("error_type"), *known)
    facts["user_id"] = _text(document.get("user_id"), *known)
    message = _text(details.get("message") if details else said, *known) or ""
    return _class_of(reply.status)(
        message.strip()[:_LONGEST_MESSAGE] or _phrase(reply.status), **facts
    )


def _text(value: object, *known: Secret) -> str | None:
    return scrub(value, *known) if isinstance(value, str) else None


def _class_of(status: int) -> type[OpenRouterError]:
    if status < HTTPStatus.BAD_REQUEST:
        return UnexpectedRedirectError
    return ERRORS_BY_STATUS.get(status, OpenRouterDefaultError)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "the service failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused"


def _facts(reply: Reply, *known: Secret) -> dict[str, Any]:
    headers = reply.headers
    return {
        "status_code": reply.status,
        "headers": {
            name.lower(): scrub(value, *known)
            for name, value in headers.items()
            if name.lower() not in _HIDDEN_HEADERS
        },
        "request_id": scrub(headers.get("X-Generation-Id") or headers.get("cf-ray") or "", *known)
        or None,
        "retry_after": retry_after(reply),
        "body": scrub(reply.body.decode(errors="replace"), *known)[:_LONGEST_BODY],
    }


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return as_object(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _scrubbed(value: Any, *known: Secret) -> Any:
    if isinstance(value, str):
        return scrub(value, *known)
    if isinstance(value, dict):
        members = as_object(value).items()
        return {scrub(name, *known): _scrubbed(member, *known) for name, member in members}
    if isinstance(value, list):
        return [_scrubbed(item, *known) for item in value]
    return value


_SECONDS: Final = re.compile(r"\s*(\d{1,12}(?:\.\d{0,6})?)\s*")
_LONGEST_DATE: Final = 64


def retry_after(reply: Reply) -> float | None:
    """Read how many seconds the service asks to wait; None when it does not say or makes no sense.

    `retry-after-ms` wins over `Retry-After`, which is a number of seconds or an HTTP date.
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    milliseconds = _SECONDS.fullmatch(reply.headers.get("retry-after-ms", ""))
    if milliseconds:
        return float(milliseconds[1]) / 1000
    value = reply.headers.get("Retry-After", "")
    seconds = _SECONDS.fullmatch(value)
    if seconds:
        return float(seconds[1])
    if len(value) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(value)
        wait = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - reply.received_at
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(wait, 0.0) if math.isfinite(wait) else None
