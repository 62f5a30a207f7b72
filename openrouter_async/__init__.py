"""Manage OpenRouter API keys from Python: async first, and blocking too.

`AsyncOpenRouter` is the client for asyncio programs, `OpenRouter` the blocking one. The operation
table is in `_operations`, the errors are in `errors`, the records in `models`, and a local server
with the same API is in `sandbox`.
"""

import importlib
import typing

from openrouter_async._version import __version__

if typing.TYPE_CHECKING:
    from openrouter_async._converter import to_dict
    from openrouter_async._options import OMITTED, CallOptions, Omitted, RetryConfig, Waiting
    from openrouter_async.client import AsyncOpenRouter
    from openrouter_async.errors import (
        AmbiguousCreateError,
        APIConnectionError,
        APITimeoutError,
        BadRequestResponseError,
        ClientClosedError,
        ConfigurationError,
        ConflictResponseError,
        ForbiddenResponseError,
        InternalServerResponseError,
        InvalidRequestError,
        NotFoundResponseError,
        OpenRouterDefaultError,
        OpenRouterError,
        PagingError,
        ResponseTooLargeError,
        ResponseValidationError,
        RotationError,
        SinkError,
        TooManyRequestsResponseError,
        UnauthorizedResponseError,
        UnexpectedRedirectError,
        WrongLoopError,
    )
    from openrouter_async.models import (
        APIKey,
        Budget,
        CreateKeysData,
        CreateKeysLimitReset,
        CreateKeysResponse,
        DeleteKeysResponse,
        External,
        FreeModelDailyRequests,
        GetCurrentKeyData,
        GetCurrentKeyResponse,
        GetKeyData,
        GetKeyResponse,
        GetWorkspaceResponse,
        GuardrailKeyAssignment,
        LimitReset,
        ListData,
        ListGuardrailKeyAssignmentsResponse,
        ListResponse,
        ListWorkspacesResponse,
        RateLimit,
        UpdateKeysData,
        UpdateKeysLimitReset,
        UpdateKeysResponse,
        Workspace,
    )
    from openrouter_async.secret import Secret
    from openrouter_async.sync import OpenRouter

__all__ = [
    "OMITTED",
    "APIConnectionError",
    "APIKey",
    "APITimeoutError",
    "AmbiguousCreateError",
    "AsyncOpenRouter",
    "BadRequestResponseError",
    "Budget",
    "CallOptions",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictResponseError",
    "CreateKeysData",
    "CreateKeysLimitReset",
    "CreateKeysResponse",
    "DeleteKeysResponse",
    "External",
    "ForbiddenResponseError",
    "FreeModelDailyRequests",
    "GetCurrentKeyData",
    "GetCurrentKeyResponse",
    "GetKeyData",
    "GetKeyResponse",
    "GetWorkspaceResponse",
    "GuardrailKeyAssignment",
    "InternalServerResponseError",
    "InvalidRequestError",
    "LimitReset",
    "ListData",
    "ListGuardrailKeyAssignmentsResponse",
    "ListResponse",
    "ListWorkspacesResponse",
    "NotFoundResponseError",
    "Omitted",
    "OpenRouter",
    "OpenRouterDefaultError",
    "OpenRouterError",
    "PagingError",
    "RateLimit",
    "ResponseTooLargeError",
    "ResponseValidationError",
    "RetryConfig",
    "RotationError",
    "Secret",
    "SinkError",
    "TooManyRequestsResponseError",
    "UnauthorizedResponseError",
    "UnexpectedRedirectError",
    "UpdateKeysData",
    "UpdateKeysLimitReset",
    "UpdateKeysResponse",
    "Waiting",
    "Workspace",
    "WrongLoopError",
    "__version__",
    "to_dict",
]


_HOMES: typing.Final = {
    "AsyncOpenRouter": "client",
    "OpenRouter": "sync",
    "Secret": "secret",
    "to_dict": "_converter",
    **dict.fromkeys(("OMITTED", "CallOptions", "Omitted", "RetryConfig", "Waiting"), "_options"),
}
"""The modules of the names that are neither errors nor records."""
_MODULES: typing.Final = ("client", "errors", "models", "secret")
"""The modules that `import openrouter_async` makes available as attributes."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not typing.TYPE_CHECKING:  # type checkers would accept any misspelt name

    def __getattr__(name: str) -> object:
        """Import a name on first use: most programs need few of them, `--version` none."""
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = _HOMES.get(name) or ("errors" if name.endswith("Error") else "models")
        found = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = found
        return found
