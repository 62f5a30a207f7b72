"""The sandbox's handlers, one for each row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from openrouter_async import _operations
from openrouter_async._converter import to_dict
from openrouter_async.models import (
    CreateKeysResponse,
    DeleteKeysResponse,
    GetCurrentKeyResponse,
    GetKeyResponse,
    GetWorkspaceResponse,
    ListGuardrailKeyAssignmentsResponse,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
)
from openrouter_async.sandbox._account import Account, StoredKey

Handler: TypeAlias = Callable[..., Any]
"""Takes the account, the caller's key (None: the management key), and the checked params."""

_DEFAULT_PAGE: Final = 50
"""Rows on a page if the request sets no limit; pages of keys are larger."""


def _list(account: Account, _: StoredKey | None, **params: Any) -> ListResponse:
    return ListResponse(data=account.page(**params))


def _create(account: Account, _: StoredKey | None, **params: Any) -> CreateKeysResponse:
    key = account.create(**params)
    return CreateKeysResponse(data=key.record(account.now()), key=account.secret_of(key.hash))


def _get(account: Account, _: StoredKey | None, *, hash: str) -> GetKeyResponse:
    return GetKeyResponse(data=account.get(hash).record(account.now()))


def _update(account: Account, _: StoredKey | None, **params: Any) -> UpdateKeysResponse:
    return UpdateKeysResponse(data=account.update(**params).record(account.now()))


def _delete(account: Account, _: StoredKey | None, *, hash: str) -> DeleteKeysResponse:
    account.delete(hash)
    return DeleteKeysResponse()


def _current(account: Account, caller: StoredKey | None) -> GetCurrentKeyResponse:
    return GetCurrentKeyResponse(data=account.current(caller))


def _list_workspaces(
    account: Account, _: StoredKey | None, *, offset: int = 0, limit: int = _DEFAULT_PAGE
) -> ListWorkspacesResponse:
    workspaces = list(account.workspaces.values())
    return ListWorkspacesResponse(
        data=workspaces[offset : offset + limit], total_count=len(workspaces)
    )


def _get_workspace(account: Account, _: StoredKey | None, *, id: str) -> GetWorkspaceResponse:
    return GetWorkspaceResponse(data=account.workspace(id))


def _list_key_assignments(
    account: Account, _: StoredKey | None, *, offset: int = 0, limit: int = _DEFAULT_PAGE
) -> ListGuardrailKeyAssignmentsResponse:
    assignments = account.key_assignments()
    return ListGuardrailKeyAssignmentsResponse(
        data=assignments[offset : offset + limit], total_count=len(assignments)
    )


_BY_NAME: Final[Mapping[str, Handler]] = {
    "list": _list,
    "create": _create,
    "get": _get,
    "update": _update,
    "delete": _delete,
    "get_current_key_metadata": _current,
    "list_workspaces": _list_workspaces,
    "get_workspace": _get_workspace,
    "list_key_assignments": _list_key_assignments,
}

FOR_ANY_KEY: Final = frozenset({_operations.CURRENT.name})
"""Operations that do not need a management key."""

HANDLERS: Final[Mapping[str, Handler]] = {
    operation.name: _BY_NAME[operation.name] for operation in _operations.OPERATIONS
}
"""A handler for each row; the import fails with the name of a row that has none."""


def document_of(response: Any) -> dict[str, Any]:
    """Return a response as it goes over the wire; the only place that shows the plaintext."""
    if isinstance(response, CreateKeysResponse):
        return {**to_dict(response), "key": response.key}
    if isinstance(response, DeleteKeysResponse):
        return {"deleted": response.deleted}
    return to_dict(response)
