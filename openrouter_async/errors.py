"""The exceptions that this package raises.

```
OpenRouterError
├── ConfigurationError (ValueError)       a client, an option or the environment is misconfigured
├── InvalidRequestError (ValueError)      a parameter was rejected before anything was sent
├── ClientClosedError                     the client is closed
├── WrongLoopError                        no event loop is running, or not the client's own
├── APIConnectionError                    no response: refused, unknown host, TLS, connection lost
│   └── APITimeoutError                   no response in time
├── BadRequestResponseError               400
├── UnauthorizedResponseError             401
├── ForbiddenResponseError                403
├── NotFoundResponseError                 404
├── ConflictResponseError                 409
├── TooManyRequestsResponseError          429
├── InternalServerResponseError           500
├── OpenRouterDefaultError                any other status, or one undocumented for the operation
├── ResponseValidationError               a response that cannot be read
│   └── ResponseTooLargeError             a response longer than the client reads
├── UnexpectedRedirectError               3XX; no redirect is followed with credentials
├── AmbiguousCreateError                  a create that may or may not have made a key
├── SinkError                             a new key's plaintext cannot be stored
├── RotationError                         a rotation was refused, or stopped halfway
└── PagingError                           the pages of a list do not fit together
```

An ambiguous create that had a status is also an instance of that status's class. A 403 from an
operation that does not document it is both a `ForbiddenResponseError` and an
`OpenRouterDefaultError`. Every error can be pickled and copied; none carries a key, and none chains
an exception from another library.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AmbiguousCreateError",
    "BadRequestResponseError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictResponseError",
    "ForbiddenResponseError",
    "InternalServerResponseError",
    "InvalidRequestError",
    "NotFoundResponseError",
    "OpenRouterDefaultError",
    "OpenRouterError",
    "PagingError",
    "ResponseTooLargeError",
    "ResponseValidationError",
    "RotationError",
    "SinkError",
    "TooManyRequestsResponseError",
    "UnauthorizedResponseError",
    "UnexpectedRedirectError",
    "WrongLoopError",
]


class OpenRouterError(Exception):
    """Base class of all errors that this package raises."""

    message: str
    """One sentence, without any key."""
    operation: str | None = None
    """The operation's name in the table, such as `create`; None outside a call."""
    attempts: int = 0
    """Attempts started, refused connections included; 0 if nothing was tried."""
    status_code: int | None = None
    """The HTTP status; None without a response."""
    code: int | str | None = None
    """`error.code` from the body."""
    headers: Mapping[str, str] | None = None
    """The response headers, with lower-case names."""
    request_id: str | None = None
    """`X-Generation-Id` or `cf-ray`, to quote to OpenRouter's support."""
    retry_after: float | None = None
    """Seconds that the service asked to wait; None if it did not ask."""
    error_type: str | None = None
    """`error.metadata.error_type`, the service's stable identifier of the failure."""
    metadata: Mapping[str, Any] | None = None
    """`error.metadata` from the body."""
    openrouter_metadata: Mapping[str, Any] | None = None
    """`openrouter_metadata` from the body."""
    user_id: str | None = None
    """`user_id` from the body."""
    body: str | None = None
    """The start of the response body, at most 2 KiB, with keys masked; not in `repr`."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        for name, value in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            if value is not None:
                setattr(self, name, value)

    def __str__(self) -> str:
        head = f"{self.operation}: " if self.operation else ""
        status = f"{self.status_code} " if self.status_code else ""
        tail = [f"request {self.request_id}"] if self.request_id else []
        if self.attempts > 1:
            tail.append(f"{self.attempts} attempts")
        return f"{head}{status}{self.message}" + (f" ({', '.join(tail)})" if tail else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConfigurationError(OpenRouterError, ValueError):
    """A client, an option or the environment is misconfigured; raised before any I/O."""


class InvalidRequestError(OpenRouterError, ValueError):
    """A parameter was rejected; raised before any I/O."""

    parameter: str | None = None
    """The name of the rejected parameter."""


class ClientClosedError(OpenRouterError):
    """The client is closed, or Python is shutting down."""


class WrongLoopError(OpenRouterError):
    """A client was used in a loop or thread where it cannot work; nothing was sent.

    For `AsyncOpenRouter`, that is outside an event loop, in a second loop while its own is still
    open, or in a forked child in the parent's loop. For `OpenRouter`, it is its own thread.
    """


class APIConnectionError(OpenRouterError):
    """There was no response: connection refused or lost, unknown host, TLS failure."""


class APITimeoutError(APIConnectionError):
    """There was no response within `timeout` or `total_timeout`."""


class BadRequestResponseError(OpenRouterError):
    """400: the service rejected a parameter."""


class UnauthorizedResponseError(OpenRouterError):
    """401: the key is unknown, disabled or missing."""


class ForbiddenResponseError(OpenRouterError):
    """403: the key is not allowed to do this; managing keys needs a management key."""


class NotFoundResponseError(OpenRouterError):
    """404: there is no such key or workspace."""


class ConflictResponseError(OpenRouterError):
    """409: another change to the same resource was in progress."""


class TooManyRequestsResponseError(OpenRouterError):
    """429: throttled; with `attempts=0`, never sent, because the service had asked to wait."""


class InternalServerResponseError(OpenRouterError):
    """500: the service failed."""


class OpenRouterDefaultError(OpenRouterError):
    """A status of 400 or above that is not documented for the operation.

    The official SDK raises this for "4XX, 5XX". If the status has a class of its own, the error is
    an instance of that class too.
    """


class ResponseValidationError(OpenRouterError):
    """A 2XX response that cannot be read; the message has the path, never a value."""

    hash: str | None = None
    """For one record of a list: the key's hash, if it can be read."""
    row: int | None = None
    """For one record of a list: the record's position on its page, from 0."""


class ResponseTooLargeError(ResponseValidationError):
    """The response body is longer than the client is willing to read."""


class UnexpectedRedirectError(OpenRouterError):
    """The service responded with a redirect, which is never followed."""


class AmbiguousCreateError(OpenRouterError):
    """A create was sent, and it is unknown whether it made a key.

    The create has not been repeated and must not be. `client.api_keys.find_candidates(error)` lists
    the keys that it may have made. The plaintext of such a key is lost: revoke it.
    """

    name: str = ""
    """The name that the key would have."""
    workspace_id: str | None = None
    """The workspace that the key would be in; None: the default workspace."""
    not_before: datetime | None = None
    """When the first attempt started (UTC, this machine's clock)."""
    not_after: datetime | None = None
    """When the call gave up (UTC, this machine's clock)."""
    hash: str | None = None
    """The key's hash, if it could be read from the response."""


class SinkError(OpenRouterError):
    """A sink, or the journal that guards a new key's plaintext, cannot be written.

    With neither `hash` nor `journal`, no key was made. With `journal`, the plaintext is safe in the
    journal: `client.api_keys.recover()` and `resume()` deliver it.
    """

    hash: str | None = None
    """The new key's hash; None: no key was made, or its record could not be read."""
    journal: str | None = None
    """The path of the journal; None: nothing was left behind."""


class RotationError(OpenRouterError):
    """A rotation was refused before it began, or stopped halfway; the message says what to do."""

    old_hash: str | None = None
    """The hash of the key to be replaced."""
    new_hash: str | None = None
    """The hash of its successor; None: none has been made yet."""
    journal: str | None = None
    """The path of the rotation's journal; None: nothing was begun."""


class PagingError(OpenRouterError):
    """A walk cannot go on: a page had nothing new, or neighbouring pages never fitted together."""

    offset: int | None = None
    """The offset of the page that did not fit."""


ERRORS_BY_STATUS: Final[Mapping[int, type[OpenRouterError]]] = {
    400: BadRequestResponseError,
    401: UnauthorizedResponseError,
    403: ForbiddenResponseError,
    404: NotFoundResponseError,
    409: ConflictResponseError,
    429: TooManyRequestsResponseError,
    500: InternalServerResponseError,
}


# These classes are written out instead of created in a loop, because pickle finds them by name.
class _UndeclaredBadRequestError(BadRequestResponseError, OpenRouterDefaultError):
    """A 400 from an operation that does not document it."""


class _UndeclaredUnauthorizedError(UnauthorizedResponseError, OpenRouterDefaultError):
    """A 401 from an operation that does not document it."""


class _UndeclaredForbiddenError(ForbiddenResponseError, OpenRouterDefaultError):
    """A 403 from an operation that does not document it."""


class _UndeclaredNotFoundError(NotFoundResponseError, OpenRouterDefaultError):
    """A 404 from an operation that does not document it."""


class _UndeclaredConflictError(ConflictResponseError, OpenRouterDefaultError):
    """A 409 from an operation that does not document it."""


class _UndeclaredTooManyRequestsError(TooManyRequestsResponseError, OpenRouterDefaultError):
    """A 429 from an operation that does not document it."""


class _UndeclaredInternalServerError(InternalServerResponseError, OpenRouterDefaultError):
    """A 500 from an operation that does not document it."""


UNDECLARED_BY_STATUS: Final[Mapping[int, type[OpenRouterError]]] = {
    400: _UndeclaredBadRequestError,
    401: _UndeclaredUnauthorizedError,
    403: _UndeclaredForbiddenError,
    404: _UndeclaredNotFoundError,
    409: _UndeclaredConflictError,
    429: _UndeclaredTooManyRequestsError,
    500: _UndeclaredInternalServerError,
}
for _status, _class in UNDECLARED_BY_STATUS.items():
    # Monitoring groups errors by __name__. Pickle finds the class by __qualname__, which stays.
    _class.__name__ = ERRORS_BY_STATUS[_status].__name__


class _AmbiguousCreateInternalServerError(AmbiguousCreateError, InternalServerResponseError):
    """A create that got a 500."""


class _AmbiguousCreateDefaultError(AmbiguousCreateError, OpenRouterDefaultError):
    """A create that got another status from which it is unclear whether it ran."""


class _AmbiguousCreateRedirectError(AmbiguousCreateError, UnexpectedRedirectError):
    """A create that got a 3XX that is not a plain redirect."""


class _AmbiguousCreateValidationError(AmbiguousCreateError, ResponseValidationError):
    """A create that succeeded, but with a response from which no whole key could be read."""


class _AmbiguousCreateTooLargeError(AmbiguousCreateError, ResponseTooLargeError):
    """A create whose response is too long to be read."""


_AMBIGUOUS: Final[Mapping[type[OpenRouterError], type[AmbiguousCreateError]]] = {
    InternalServerResponseError: _AmbiguousCreateInternalServerError,
    OpenRouterDefaultError: _AmbiguousCreateDefaultError,
    UnexpectedRedirectError: _AmbiguousCreateRedirectError,
    ResponseValidationError: _AmbiguousCreateValidationError,
    ResponseTooLargeError: _AmbiguousCreateTooLargeError,
}


def ambiguous_class(cause: OpenRouterError) -> type[AmbiguousCreateError]:
    """Return the error class for an ambiguous create that failed with `cause`.

    If there was a response, it is a subclass of its status's class too. It is never a subclass of
    `APITimeoutError` or `APIConnectionError`, because callers retry those.
    """
    return next(
        (_AMBIGUOUS[known] for known in type(cause).__mro__ if known in _AMBIGUOUS),
        AmbiguousCreateError,
    )
