"""What came back, and what it means: pure functions of status, headers and bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

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


@attrs.define(kw_only=True)
class Response:
    """An answer as it was read off the wire."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Any case-insensitive mapping."""
    body: bytes = attrs.field(repr=False)
    truncated: bool = False
    """The connection broke before the body's end."""
    too_large: bool = False
    """The body is longer than was read."""
    miscoded: str | None = attrs.field(default=None, repr=False)
    """What the answer says that its body's coding is, where it cannot be read as that."""
    received_at: float
    """Seconds since 1970, for a `Retry-After` that is a date where the answer has no `Date`."""


def interpret(
    operation: Operation[Any, Out], reply: Response, *known: Secret, request: Request | None = None
) -> Out:
    """Turn a response into what the operation returns; raises the error it stands for.

    `known` are secrets to mask in an error's texts, whatever their shape. `request` is what was
    asked: an answer about another key is refused, whoever mixed them up; None: that is not known.
    """
    if not 200 <= reply.status < 300:
        raise error_of(reply, *known, declared=operation.errors)
    if reply.too_large:
        raise _unreadable(ResponseTooLargeError("the response is too large"), reply, *known)
    problem = ""
    try:
        if reply.body or not reply.truncated:  # a body that was lost is not an empty one
            response: Any = _converter.decode(operation.returns, reply.body)
            asked = request.in_path if request is not None else {}
            for name in operation.echoed:
                if name in asked and getattr(response.data, name) != asked[name]:
                    problem = f"response.data.{name}: not the one that was asked for"
            if not problem:
                return cast("Out", response)
    except ResponseValidationError as error:
        problem = error.message
        error.__traceback__ = None  # whose frames have the body, and the error
    except Exception as error:  # noqa: BLE001  # no memory, or an import that failed
        problem = f"the response cannot be read: {type(error).__name__}"
    problem = _why_unreadable(reply, *known) or problem
    raise _unreadable(ResponseValidationError(problem), reply, *known)


def _why_unreadable(reply: Response, *known: Secret) -> str | None:
    """Return what is wrong with the whole body; None: only what is in it."""
    if is_cut(reply):
        return "the response ends too early"
    if reply.miscoded is not None:
        claimed = (_text(reply.miscoded, *known) or "")[:_LONGEST_CODING]
        return f"the response cannot be read as the Content-Encoding that it claims: {claimed}"
    return None


_LONGEST_CODING: Final = 40


def is_cut(reply: Response) -> bool:
    """Return whether an answer ends too early: its connection did, or its JSON.

    Where the service announces too short a length, only the JSON tells.
    """
    if reply.too_large or reply.miscoded is not None:
        return False
    return reply.truncated or _is_cut_json(reply.body)


def _is_cut_json(body: bytes) -> bool:
    try:
        _json.check_size(body, most_values=_converter.MOST_VALUES)
        msgspec.json.decode(body)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        return bool(body.strip()) and "truncated" in str(error)
    return False


def _unreadable(
    error: ResponseValidationError, reply: Response, *known: Secret
) -> ResponseValidationError:
    for name, value in _facts(reply, *known).items():
        setattr(error, name, value)
    return error


def error_of(
    reply: Response, *known: Secret, declared: Container[int] = ERRORS_BY_STATUS
) -> OpenRouterError:
    """Build the error for an answer outside 2XX; its class follows the status alone.

    A status that is not `declared` for the operation gives an `OpenRouterDefaultError` as well.
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
    around = as_object(document.get("openrouter_metadata"))
    facts["openrouter_metadata"] = _scrubbed(around, *known) if around else None
    facts["user_id"] = _text(document.get("user_id"), *known)
    message = _text(details.get("message") if details else said, *known) or ""
    return _class_of(reply.status, declared)(
        message.strip()[:_LONGEST_MESSAGE] or _phrase(reply.status), **facts
    )


def _text(value: object, *known: Secret) -> str | None:
    return _CONTROL.sub(" ", _shown(value, *known)) if isinstance(value, str) else None


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What would move a terminal's cursor or begin a new line in a log."""


def _shown(text: str, *known: Secret) -> str:
    """Make a text fit for logs and terminals: keys are masked, what cannot be encoded replaced."""
    return scrub(text.encode(errors="replace").decode(), *known)


def _shown_body(body: bytes, *known: Secret) -> str:
    return scrub(_KEY_FIELD.sub(rf"\1{MASK}", body.decode(errors="replace")), *known)


_KEY_FIELD: Final = re.compile(r'("key"\s*:\s*")[^"]+')
"""A new key in an answer that cannot be read, even if it is cut or looks like no key."""


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


def _facts(reply: Response, *known: Secret) -> dict[str, Any]:
    headers = reply.headers
    return {
        "status_code": reply.status,
        "headers": {
            name.lower(): _shown(value, *known)
            for name, value in headers.items()
            if name.lower() not in _HIDDEN_HEADERS
        },
        "request_id": request_id(reply, *known),
        "retry_after": retry_after(reply),
        "body": _shown_body(reply.body[: 4 * _LONGEST_BODY], *known)[:_LONGEST_BODY],
    }


def request_id(reply: Response, *known: Secret) -> str | None:
    """Return what names the request to the service's support, or at its edge."""
    return _text(reply.headers.get("X-Generation-Id") or reply.headers.get("cf-ray"), *known)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return as_object(_json.parse(body))
    except ValueError:
        return {}


_DEEPEST: Final = 20


def _scrubbed(value: Any, *known: Secret, depth: int = _DEEPEST) -> Any:
    """Copy JSON with keys masked; what is nested too deep to be copied or pickled is left out."""
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


def retry_after(reply: Response) -> float | None:
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
    moment = _seconds_of(value)
    if moment is None:
        return None
    # By the service's own clock, since this machine's may be wrong.
    now = _seconds_of(reply.headers.get("Date", ""))
    wait = moment - (reply.received_at if now is None else now)
    return max(wait, 0.0) if math.isfinite(wait) else None


def _seconds_of(date: str) -> float | None:
    """Read an HTTP date as seconds since 1970; None where it is none."""
    if len(date) > _LONGEST_DATE:
        return None
    try:
        moment = parsedate_to_datetime(date)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if math.isfinite(seconds) else None
