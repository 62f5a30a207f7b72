"""What stands at top level is what users rely on: nothing more, and nothing lost unnoticed."""

from types import ModuleType

import openrouter_async
from openrouter_async import errors

# From the documentation, so that a name can be neither dropped nor renamed by accident.
DOCUMENTED = {
    "APIKey",
    "AsyncOpenRouter",
    "CallOptions",
    "CreateKeysData",
    "CreateKeysLimitReset",
    "CreateKeysResponse",
    "DeleteKeysResponse",
    "GetCurrentKeyData",
    "GetCurrentKeyResponse",
    "GetKeyData",
    "GetKeyResponse",
    "LimitReset",
    "ListData",
    "ListResponse",
    "OMITTED",
    "OpenRouter",
    "RetryConfig",
    "Secret",
    "UpdateKeysData",
    "UpdateKeysLimitReset",
    "UpdateKeysResponse",
    "to_dict",
}


def test_all_is_the_public_namespace() -> None:
    """`__all__` names each public object that can be reached, and each of them can be."""
    reachable = {
        name
        for name in dir(openrouter_async)
        if not (name.startswith("_") or isinstance(getattr(openrouter_async, name), ModuleType))
    }
    assert reachable == {name for name in openrouter_async.__all__ if name != "__version__"}


def test_documented_names_are_exported() -> None:
    """Every name that the documentation uses is at top level."""
    assert set(openrouter_async.__all__) >= DOCUMENTED


def test_every_error_is_exported() -> None:
    """`except openrouter_async.AnyOfOurs` works without knowing the module."""
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.OpenRouterError)
        and not name.startswith("_")
    }
    assert public == set(errors.__all__)
    assert public <= set(openrouter_async.__all__)
