"""Answers in the service's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

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


def json_answer(
    status: int, document: object, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        content_type="application/json",
        headers=headers,
    )


def error_answer(
    status: int, message: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Make an error as the service does; None as message: what it says with this status."""
    error: dict[str, Any] = {"code": status, "message": message or usual_message(status)}
    if status in _ERROR_TYPES:
        error["metadata"] = {"error_type": _ERROR_TYPES[status]}
    return json_answer(status, {"error": error}, headers)


def html_answer(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Make a page as a proxy in front of the service does."""
    title = "Sign in" if status == HTTPStatus.OK else f"{status} {usual_message(status)}"
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)


def usual_message(status: int) -> str:
    if status in _MESSAGES:
        return _MESSAGES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"
