"""Manage OpenRouter API keys from Python: async first, and blocking too.

`AsyncOpenRouter` is the client for asyncio programs, `OpenRouter` the blocking one. The operation
table is in `_operations`, the errors are in `errors`, the records in `models`, and a local server
with the same API is in `sandbox`.
"""

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
else:  # type checkers would accept any name
    from openrouter_async._lazy import lazily as _lazily

    __getattr__, __dir__ = _lazily(
        __name__, "errors", "secret", "_options", "client", "sync", "models", "_converter"
    )

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
