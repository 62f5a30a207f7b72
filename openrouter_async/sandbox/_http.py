"""The sandbox's requests and responses, in the service's shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final

import attrs
import msgspec
from aiohttp import web

from openrouter_async import _json
from openrouter_async._checks import refuse
from openrouter_async._operations import Operation
from openrouter_async.errors import InvalidRequestError
from openrouter_async.sandbox._account import RefusedError

_MESSAGES: Final[Mapping[int, str]] = {
    400: "Invalid request parameters",
    401: "Missing Authentication header",
    403: "Only management keys can perform this operation",
    404: "Resource not found",
    409: "Resource conflict. Please try again later.",
    429: "Rate limit exceeded",
    500: "Internal Server Error",
    529: "Provider returned an overloaded error",
}
_ERROR_TYPES: Final[Mapping[int, str]] = {429: "rate_limit_exceeded", 500: "server"}


def json_response(
    status: int, document: object, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        content_type="application/json",
        headers=headers,
    )


def error_response(
    status: int, message: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Build an error in the service's shape; None as message: its usual one for the status."""
    error: dict[str, Any] = {"code": status, "message": message or usual_message(status)}
    if status in _ERROR_TYPES:
        error["metadata"] = {"error_type": _ERROR_TYPES[status]}
    return json_response(status, {"error": error}, headers)


def html_response(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Build an HTML page like that of a proxy in front of the service."""
    title = "Sign in" if status == HTTPStatus.OK else f"{status} {usual_message(status)}"
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)


def usual_message(status: int) -> str:
    """Return the service's message for a status, else the standard phrase."""
    if status in _MESSAGES:
        return _MESSAGES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"


@attrs.define
class SandboxRequest:
    """A request of an operation as the sandbox received it, without headers and body."""

    operation: str
    """The operation's name in the table, such as `create`."""
    method: str
    path: str
    """The path as in the table, such as `/keys/{hash}`."""
    status: int | None = None
    """The response's status; None: no response yet, or the connection was reset or cut."""


def read_parameters(
    operation: Operation[Any, Any], path: Mapping[str, str], query: Mapping[str, str], body: Any
) -> dict[str, Any]:
    """Return the request's checked params by name; unknown ones are ignored.

    Raises `RefusedError`: 404 for an invalid path, 400 for everything else.
    """
    places: dict[str, Mapping[str, Any]] = {"path": path, "query": query, "body": body}
    params: dict[str, Any] = {}
    for parameter in operation.parameters:
        source = places[parameter.place]
        if parameter.name not in source:
            if parameter.required:
                raise RefusedError(400, f"{parameter.name} is required")
            continue
        value = source[parameter.name]
        try:
            if value is not None or not parameter.nullable:
                value = parameter.check(parameter.name, value)
                value = _SERVICE_RULES.get(parameter.name, _pass)(source[parameter.name], value)
        except InvalidRequestError as error:
            if parameter.place == "path":
                raise RefusedError(404, "Resource not found") from None
            raise RefusedError(400, error.message) from None
        params[parameter.name] = value
    return params


def _pass(_: object, value: Any) -> Any:
    return value


def _utc_with_seconds(raw: object, value: Any) -> Any:
    """Refuse what the client's check would convert: other time zones, and times without seconds."""
    if not isinstance(raw, str) or _UTC.fullmatch(raw) is None:
        refuse("expires_at", "an ISO 8601 time in UTC with seconds, such as 2027-12-31T23:59:59Z")
    return value


def _uuid(raw: object, value: Any) -> Any:
    if not isinstance(raw, str) or _UUID.fullmatch(raw) is None:
        refuse("workspace_id", "a UUID")
    return value.lower()


_UTC: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SERVICE_RULES: Final[Mapping[str, Callable[[object, Any], Any]]] = {
    "expires_at": _utc_with_seconds,
    "workspace_id": _uuid,
}
"""The service's own checks; each takes the raw value and the value after the table's check."""


def read_object(content_type: str, body: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises `RefusedError` with 400."""
    if content_type != "application/json":
        raise RefusedError(400, "Content-Type must be application/json")
    try:
        _json.check_size(body)
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RefusedError(400, "The body must be a JSON object") from None


def bearer_of(authorization: str | None) -> str:
    """Return the key of an Authorization header; raises `RefusedError` with 401."""
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise RefusedError(401, "Missing Authentication header")
    return secret.strip()


def is_loopback(host: str) -> bool:
    """Return whether a Host header names loopback.

    A web page that reaches loopback by DNS rebinding does so under its own host name, and is
    recognized by it.
    """
    found = _HOST.fullmatch(host)
    name = (found["v6"] or found["name"]).lower().removesuffix(".") if found else ""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


_HOST: Final = re.compile(r"(\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+))(:\d*)?")
