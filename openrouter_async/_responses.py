"""Responses and what they mean: pure functions of status, headers and body."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import attrs
import msgspec

from openrouter_async import _converter, _json
from openrouter_async._json import as_object
from openrouter_async._operations import Operation, Request
from openrouter_async.errors import (
    ERRORS_BY_STATUS,
    UNDECLARED_BY_STATUS,
    OpenRouterDefaultError,
    OpenRouterError,
    ResponseTooLargeError,
    ResponseValidationError,
    UnexpectedRedirectError,
)
from openrouter_async.secret import MASK, Secret, scrub

Out = TypeVar("Out")

_LONGEST_BODY: Final = 2048
_LONGEST_MESSAGE: Final = 300
_HIDDEN_HEADERS: Final = frozenset({"set-cookie", "authorization", "proxy-authorization"})


@attrs.define
class Response:
    """A response as it was read from the wire."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Any case-insensitive mapping."""
    body: bytes = attrs.field(repr=False)
    received_at: float
    """Seconds since 1970, for a `Retry-After` that is a date in a response without `Date`."""
    truncated: bool = False
    """Whether the connection broke before the body's end."""
    too_large: bool = False
    """Whether the body is longer than what was read."""
    miscoded: str | None = attrs.field(default=None, repr=False)
    """The content coding that the response claims, if its body cannot be decoded from that."""


def interpret(
    operation: Operation[Any, Out],
    response: Response,
    *known: Secret,
    request: Request | None = None,
) -> Out:
    """Convert a response to the operation's result, or raise the error that it stands for.

    `known` are secrets to mask in an error's texts, whatever their shape. If `request` is passed,
    a response about another key than it asked for is rejected: somebody has mixed them up.
    """
    if not 200 <= response.status < 300:
        raise error_of(response, *known, declared=operation.errors)
    if response.too_large:
        raise _unreadable(ResponseTooLargeError("the response is too large"), response, *known)
    problem = ""
    try:
        if response.body or not response.truncated:  # a lost body is not an empty one
            result = _converter.decode(operation.returns, response.body)
            record: Any = result
            for name in operation.echoed:
                if request and getattr(record.data, name) != request.in_path[name]:
                    problem = f"response.data.{name}: not the one requested"
            if not problem:
                return result
    except ResponseValidationError as error:
        problem = error.message
        error.__traceback__ = None  # its frames have the body, and the error
    except Exception as error:  # noqa: BLE001  # no memory, or an import that failed
        problem = f"the response cannot be read: {type(error).__name__}"
    problem = _why_unreadable(response, *known) or problem
    raise _unreadable(ResponseValidationError(problem), response, *known)


def _why_unreadable(response: Response, *known: Secret) -> str | None:
    """Return what is wrong with the body as a whole; None: only its content is wrong."""
    if is_cut(response):
        return "the response ends too early"
    if response.miscoded is not None:
        claimed = (_text(response.miscoded, *known) or "")[:_LONGEST_CODING]
        return f"the response cannot be read as the Content-Encoding that it claims: {claimed}"
    return None


_LONGEST_CODING: Final = 40


def is_cut(response: Response) -> bool:
    """Return whether a response ends too early: its connection did, or its JSON.

    If the service announces too short a length, only the JSON shows it.
    """
    if response.too_large or response.miscoded is not None:
        return False
    return response.truncated or _is_cut_json(response.body)


def _is_cut_json(body: bytes) -> bool:
    try:
        _json.check_size(body, most_values=_converter.MOST_VALUES)
        msgspec.json.decode(body)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        return bool(body.strip()) and "truncated" in str(error)
    return False


def _unreadable(
    error: ResponseValidationError, response: Response, *known: Secret
) -> ResponseValidationError:
    for name, value in _facts(response, *known).items():
        setattr(error, name, value)
    return error


def error_of(
    response: Response, *known: Secret, declared: Container[int] = ERRORS_BY_STATUS
) -> OpenRouterError:
    """Build the error for a response outside 2XX; its class follows the status alone.

    For a status that is not `declared` for the operation, it is an `OpenRouterDefaultError` too.
    The body may be the documented `{"error": {…}}`, any other JSON, HTML, or nothing.
    """
    facts = _facts(response, *known)
    document = _parse(response.body)
    problem = document.get("error")
    details = as_object(problem)
    metadata = as_object(details.get("metadata"))
    code = details.get("code")
    facts["code"] = code if isinstance(code, int) else _text(code, *known)
    facts["metadata"] = _scrubbed(metadata, *known) if metadata else None
    facts["error_type"] = _text(metadata.get("error_type"), *known)
    envelope = as_object(document.get("openrouter_metadata"))
    facts["openrouter_metadata"] = _scrubbed(envelope, *known) if envelope else None
    facts["user_id"] = _text(document.get("user_id"), *known)
    message = _text(details.get("message") if details else problem, *known) or ""
    return _class_of(response.status, declared)(
        message.strip()[:_LONGEST_MESSAGE] or _phrase(response.status), **facts
    )


def _text(value: object, *known: Secret) -> str | None:
    return _CONTROL.sub(" ", _shown(value, *known)) if isinstance(value, str) else None


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that would move a terminal's cursor or start a new line in a log."""


def _shown(text: str, *known: Secret) -> str:
    """Make a text safe for logs: mask keys, and replace what cannot be encoded."""
    return scrub(text.encode(errors="replace").decode(), *known)


def _shown_body(body: bytes, *known: Secret) -> str:
    return scrub(_KEY_FIELD.sub(rf"\1{MASK}", body.decode(errors="replace")), *known)


_KEY_FIELD: Final = re.compile(r'("key"\s*:\s*")[^"]+')
"""A new key in an unreadable response, even if it is cut or does not look like a key."""


def _class_of(status: int, declared: Container[int]) -> type[OpenRouterError]:
    if status < HTTPStatus.BAD_REQUEST:
        return UnexpectedRedirectError
    return (ERRORS_BY_STATUS if status in declared else UNDECLARED_BY_STATUS).get(
        status, OpenRouterDefaultError
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "the service failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused"


def _facts(response: Response, *known: Secret) -> dict[str, Any]:
    headers = response.headers
    return {
        "status_code": response.status,
        "headers": {
            name.lower(): _shown(value, *known)
            for name, value in headers.items()
            if name.lower() not in _HIDDEN_HEADERS
        },
        "request_id": request_id(response, *known),
        "retry_after": retry_after(response),
        "body": _shown_body(response.body[: 4 * _LONGEST_BODY], *known)[:_LONGEST_BODY],
    }


def request_id(response: Response, *known: Secret) -> str | None:
    """Return the id of the request for the service's support, or that of its edge."""
    return _text(response.headers.get("X-Generation-Id") or response.headers.get("cf-ray"), *known)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return as_object(_json.parse(body))
    except ValueError:
        return {}


_DEEPEST: Final = 20


def _scrubbed(value: Any, *known: Secret, depth: int = _DEEPEST) -> Any:
    """Copy JSON with keys masked, without what is nested too deeply to be copied or pickled."""
    if isinstance(value, str):
        return _shown(value, *known)
    if isinstance(value, (dict, list)) and not depth:
        return None
    if isinstance(value, dict):
        return {
            _shown(name, *known): _scrubbed(member, *known, depth=depth - 1)
            for name, member in as_object(value).items()
        }
    if isinstance(value, list):
        return [_scrubbed(item, *known, depth=depth - 1) for item in value]
    return value


_SECONDS: Final = re.compile(r"\s*([0-9]{1,300}(?:\.[0-9]{0,6})?)\s*")
_LONGEST_DATE: Final = 64


def retry_after(response: Response) -> float | None:
    """Return the seconds that the service asks to wait; None if it does not, or makes no sense.

    `retry-after-ms` wins over `Retry-After`, which is a number of seconds or an HTTP date.
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    milliseconds = _SECONDS.fullmatch(response.headers.get("retry-after-ms", ""))
    if milliseconds:
        return float(milliseconds[1]) / 1000
    value = response.headers.get("Retry-After", "")
    seconds = _SECONDS.fullmatch(value)
    if seconds:
        return float(seconds[1])
    moment = _seconds_of(value)
    if moment is None:
        return None
    # By the service's clock, because this machine's may be wrong.
    now = _seconds_of(response.headers.get("Date", ""))
    wait = moment - (response.received_at if now is None else now)
    return max(wait, 0.0) if math.isfinite(wait) else None


def _seconds_of(date: str) -> float | None:
    """Return an HTTP date in seconds since 1970; None if it is not one."""
    if len(date) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(date)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if math.isfinite(seconds) else None
