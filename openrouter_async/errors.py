"""Every exception that this package raises.

```
OpenRouterError
├── ConfigurationError (ValueError)       a client or an option was set up wrongly
├── InvalidRequestError (ValueError)      a parameter was refused before anything was sent
├── ClientClosedError                     the client was closed
├── WrongLoopError                        there is no event loop, or one it must not be used in
├── APIConnectionError                    no answer: refused, unknown host, TLS, connection lost
│   └── APITimeoutError                   no answer in time
├── BadRequestResponseError               400
├── UnauthorizedResponseError             401
├── ForbiddenResponseError                403
├── NotFoundResponseError                 404
├── ConflictResponseError                 409
├── TooManyRequestsResponseError          429
├── InternalServerResponseError           500
├── OpenRouterDefaultError                any other status, or one undocumented there
├── ResponseValidationError               an answer that cannot be read
│   └── ResponseTooLargeError             an answer longer than the client reads
├── UnexpectedRedirectError               3XX; no redirect is followed with credentials
├── AmbiguousCreateError                  a create that may or may not have made a key
├── SinkError                             a new key's plaintext cannot be put where it belongs
├── RotationError                         a rotation was refused, or stopped half way
└── PagingError                           the pages of a list do not fit together
```

An ambiguous create that had a status is also an instance of that status's class, and a 403 to an
operation that is not documented to answer so is both a `ForbiddenResponseError` and an
`OpenRouterDefaultError`. All of them can be pickled and copied; none carries a key, and none chains
an exception of another library.
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
    """Base of all errors of this package."""

    message: str
    """One sentence, without any key."""
    operation: str | None = None
    """The operation's name in the table, such as `create`; None outside a call."""
    attempts: int = 0
    """Attempts begun, refused connections included; 0 when nothing was tried."""
    status_code: int | None = None
    """The HTTP status; None without an answer."""
    code: int | str | None = None
    """`error.code` of the body."""
    headers: Mapping[str, str] | None = None
    """The answer's headers, names in lower case."""
    request_id: str | None = None
    """`X-Generation-Id` or `cf-ray`: what to quote to the service's support."""
    retry_after: float | None = None
    """Seconds that the service asked to wait; None when it did not say."""
    error_type: str | None = None
    """`error.metadata.error_type`, the service's stable word for the failure."""
    metadata: Mapping[str, Any] | None = None
    """`error.metadata` of the body."""
    openrouter_metadata: Mapping[str, Any] | None = None
    """`openrouter_metadata` of the body."""
    user_id: str | None = None
    """`user_id` of the body."""
    body: str | None = None
    """The start of the answer's body, at most 2 KiB, with keys masked; not in `repr`."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        for name, value in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no {name}")
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
    """A client, an option or the environment is set up wrongly; raised before any I/O."""


class InvalidRequestError(OpenRouterError, ValueError):
    """A parameter was refused; raised before any I/O, names the parameter in `parameter`."""

    parameter: str | None = None


class ClientClosedError(OpenRouterError):
    """The client was closed, or its interpreter is shutting down."""


class WrongLoopError(OpenRouterError):
    """A client was used where it cannot work, and nothing was sent.

    That is, an `AsyncOpenRouter` outside an event loop, in a second one while its own is open, or,
    in a forked child, in the loop of the parent process; an `OpenRouter` in its own thread.
    """


class APIConnectionError(OpenRouterError):
    """There was no answer: connection refused or lost, unknown host, TLS failure."""


class APITimeoutError(APIConnectionError):
    """There was no answer within `timeout` or `total_timeout`."""


class BadRequestResponseError(OpenRouterError):
    """400: the service refused a parameter."""


class UnauthorizedResponseError(OpenRouterError):
    """401: the key is unknown, disabled or missing."""


class ForbiddenResponseError(OpenRouterError):
    """403: the key may not do this; key management needs a management key."""


class NotFoundResponseError(OpenRouterError):
    """404: there is no such key or workspace."""


class ConflictResponseError(OpenRouterError):
    """409: another change of the same resource was under way."""


class TooManyRequestsResponseError(OpenRouterError):
    """429: throttled; with `attempts=0`, not even sent, since the service had asked to wait."""


class InternalServerResponseError(OpenRouterError):
    """500: the service failed."""


class OpenRouterDefaultError(OpenRouterError):
    """A status of 400 and above that the documentation does not name for the operation.

    This is what the official SDK raises for "4XX, 5XX". Where the status has a class of its own,
    the error is an instance of that class too.
    """


class ResponseValidationError(OpenRouterError):
    """An answer of 2XX that cannot be read; names the path of what is wrong, never its value."""

    hash: str | None = None
    """Where it is about one record of a list: the key's hash, if that can be read."""
    row: int | None = None
    """Where it is about one record of a list: the record's place on its page, from 0."""


class ResponseTooLargeError(ResponseValidationError):
    """The answer's body is longer than the client is willing to read."""


class UnexpectedRedirectError(OpenRouterError):
    """The service answered with a redirect, which is never followed."""


class AmbiguousCreateError(OpenRouterError):
    """A create was sent and nobody knows whether it made a key.

    The create was not and must not be repeated. `client.api_keys.find_candidates(error)` lists the
    keys that could be the one. The plaintext of such a key is lost: revoke it.
    """

    name: str = ""
    """The name that the key would have."""
    workspace_id: str | None = None
    """The workspace it would be in; None: the default workspace."""
    not_before: datetime | None = None
    """When the first attempt was begun (UTC, this machine's clock)."""
    not_after: datetime | None = None
    """When the call gave up (UTC, this machine's clock)."""
    hash: str | None = None
    """The key's hash, if the answer still showed one."""


class SinkError(OpenRouterError):
    """A sink or the journal that guards a new key's plaintext cannot be written.

    With neither `hash` nor `journal`, no key was made. With `journal`, the plaintext is safe in
    there: `client.api_keys.recover()` and `resume()` deliver it.
    """

    hash: str | None = None
    """The new key's hash; None: no key was made, or its record could not be read."""
    journal: str | None = None
    """The journal's path; None: nothing was left behind."""


class RotationError(OpenRouterError):
    """A rotation was refused before it began, or stopped; the message says what can be done."""

    old_hash: str | None = None
    """The key that was to be replaced."""
    new_hash: str | None = None
    """Its successor; None: none was made yet."""
    journal: str | None = None
    """The path of the journal that remembers the rotation; None: nothing was begun."""


class PagingError(OpenRouterError):
    """A walk over pages cannot go on: a page brought nothing new, or the seams never fitted."""

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


class _UndeclaredBadRequestError(BadRequestResponseError, OpenRouterDefaultError):
    """400 to an operation that is not documented to answer so."""


class _UndeclaredUnauthorizedError(UnauthorizedResponseError, OpenRouterDefaultError):
    """401 to an operation that is not documented to answer so."""


class _UndeclaredForbiddenError(ForbiddenResponseError, OpenRouterDefaultError):
    """403 to an operation that is not documented to answer so."""


class _UndeclaredNotFoundError(NotFoundResponseError, OpenRouterDefaultError):
    """404 to an operation that is not documented to answer so."""


class _UndeclaredConflictError(ConflictResponseError, OpenRouterDefaultError):
    """409 to an operation that is not documented to answer so."""


class _UndeclaredTooManyRequestsError(TooManyRequestsResponseError, OpenRouterDefaultError):
    """429 to an operation that is not documented to answer so."""


class _UndeclaredInternalServerError(InternalServerResponseError, OpenRouterDefaultError):
    """500 to an operation that is not documented to answer so."""


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
    # What monitoring groups by; the qualified name, by which pickle finds the class, stays.
    _class.__name__ = ERRORS_BY_STATUS[_status].__name__


class _AmbiguousCreateInternalServerError(AmbiguousCreateError, InternalServerResponseError):
    """A create answered with 500."""


class _AmbiguousCreateDefaultError(AmbiguousCreateError, OpenRouterDefaultError):
    """A create answered with another status that does not say whether it ran."""


class _AmbiguousCreateRedirectError(AmbiguousCreateError, UnexpectedRedirectError):
    """A create answered with a 3XX that is no plain redirect."""


class _AmbiguousCreateValidationError(AmbiguousCreateError, ResponseValidationError):
    """A create that succeeded, with an answer in which no whole key could be read."""


class _AmbiguousCreateTooLargeError(AmbiguousCreateError, ResponseTooLargeError):
    """A create whose answer is too long to be read."""


_AMBIGUOUS: Final[Mapping[type[OpenRouterError], type[AmbiguousCreateError]]] = {
    InternalServerResponseError: _AmbiguousCreateInternalServerError,
    OpenRouterDefaultError: _AmbiguousCreateDefaultError,
    UnexpectedRedirectError: _AmbiguousCreateRedirectError,
    ResponseValidationError: _AmbiguousCreateValidationError,
    ResponseTooLargeError: _AmbiguousCreateTooLargeError,
}


def ambiguous_class(cause: OpenRouterError) -> type[AmbiguousCreateError]:
    """Return the class of an ambiguous create that failed with `cause`.

    It is also the class of the answer's status, where there was an answer. It is never an
    `APITimeoutError` or `APIConnectionError`, which callers repeat.
    """
    return next(
        (_AMBIGUOUS[known] for known in type(cause).__mro__ if known in _AMBIGUOUS),
        AmbiguousCreateError,
    )
