"""The table of operations: one row each, and the pure functions that read a row.

The client, the sandbox, the command, the README's table, the retry policy, log lines and errors
all read these rows. Rules: https://openrouter.ai/docs/guides/overview/auth/management-api-keys
"""

from __future__ import annotations

import enum
import typing
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import urlencode

import attrs
import msgspec

from openrouter_async import _checks
from openrouter_async._options import OMITTED, Omitted
from openrouter_async.errors import InvalidRequestError
from openrouter_async.models import (
    CreateKeysResponse,
    DeleteKeysResponse,
    External,
    GetCurrentKeyResponse,
    GetKeyResponse,
    GetWorkspaceResponse,
    LimitReset,
    ListGuardrailKeyAssignmentsResponse,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
)

In = TypeVar("In")
Out = TypeVar("Out")
Method: TypeAlias = Literal["GET", "POST", "PATCH", "DELETE"]
Place: TypeAlias = Literal["path", "query", "body"]
Check: TypeAlias = Callable[[str, Any], Any]

PAGE_SIZE: Final = 100
"""Records on a page of keys; the service has no parameter for it."""


class RetryClass(enum.Enum):
    """The column of the retry table that an operation belongs to."""

    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    CREATE = "create"


def sent_by(check: Check, *, nullable: bool = False, echoed: bool = True) -> Mapping[str, Any]:
    """Return field metadata: the rule for values, and whether None is sent as `null`.

    `echoed` is False for a parameter in the path that the record may have under another name.
    """
    return {"check": check, "nullable": nullable, "echoed": echoed}


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter of an operation, derived from a field of `Operation.takes`."""

    name: str
    place: Place
    required: bool
    nullable: bool
    """Whether None is sent as `null`; otherwise it means omitted."""
    check: Check
    echoed: bool
    """Whether a record that has a field of this name must have the value that was sent."""
    placeholder: str
    """Its placeholder in `Operation.path`."""


def _parameters_of(operation: Operation[Any, Any]) -> tuple[Parameter, ...]:
    elsewhere: Place = "query" if operation.method == "GET" else "body"
    return tuple(
        Parameter(
            name=field.name,
            place="path" if f"{{{field.name}}}" in operation.path else elsewhere,
            required=field.default is attrs.NOTHING,
            nullable=field.metadata["nullable"],
            check=field.metadata["check"],
            echoed=field.metadata["echoed"],
            placeholder=f"{{{field.name}}}",
        )
        for field in attrs.fields(operation.takes)
    )


@attrs.frozen(kw_only=True)
class Operation(Generic[In, Out]):
    """One row of the table."""

    name: str
    """Its name in log lines, errors and the sandbox's faults."""
    method: Method
    path: str
    """The path below the base URL, with placeholders such as `{hash}`."""
    takes: type[In]
    """The class of its parameters: those in `path` are sent there, others as query or body."""
    returns: type[Out]
    success: int
    """The declared status; any other 2XX is read the same way."""
    errors: frozenset[int]
    """The error statuses that every published version of the documentation declares for it; any
    other one is an `OpenRouterDefaultError` too, which the documentation declares for the rest."""
    retry: RetryClass
    doc: str
    """What it does, in one sentence."""
    call: str = attrs.field(
        default=attrs.Factory(lambda self: f"api_keys.{self.name}", takes_self=True)
    )
    """The client's method, such as `api_keys.get`."""
    command: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    """The command of `openrouter-keys` that carries it out."""
    parameters: tuple[Parameter, ...] = attrs.field(
        init=False, default=attrs.Factory(_parameters_of, takes_self=True)
    )
    """Its parameters, derived from the fields of `takes`."""
    echoed: tuple[str, ...] = attrs.field(
        init=False, default=attrs.Factory(lambda self: tuple(_echoed_by(self)), takes_self=True)
    )
    """The parameters in `path` that the returned record has too, such as `hash` of get and update:
    a record with another value is the response to another request."""


def _echoed_by(operation: Operation[Any, Any]) -> list[str]:
    record = typing.get_type_hints(operation.returns).get("data")
    fields = (
        {field.name for field in attrs.fields(record)}
        if isinstance(record, type) and attrs.has(record)
        else set[str]()
    )
    return [
        parameter.name
        for parameter in operation.parameters
        if parameter.place == "path" and parameter.echoed and parameter.name in fields
    ]


@attrs.define(kw_only=True)
class Request:
    """A request without credentials."""

    method: Method
    route: str
    """The path as in the table, which may be logged."""
    target: str
    """The path with its parameters, and the query."""
    in_path: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """The parameters in the path, by name."""
    body: bytes | None = attrs.field(default=None, repr=False)


def compose(operation: Operation[In, Any], params: In) -> Request:
    """Check every parameter and build the request; raises `InvalidRequestError`."""
    target = operation.path
    unreadable: str | None = None
    in_path: dict[str, str] = {}
    query: dict[str, str] = {}
    body: dict[str, Any] = {}
    for parameter in operation.parameters:
        raw = getattr(params, parameter.name)
        as_null = raw is None and parameter.nullable
        omitted = raw is OMITTED or (raw is None and not as_null)
        if omitted and not parameter.required:
            continue
        try:
            value: Any = None if as_null else parameter.check(parameter.name, raw)
        except InvalidRequestError:
            raise
        except Exception:  # noqa: BLE001  # methods of a foreign class may raise anything
            unreadable = parameter.name
            break
        if parameter.place == "path":  # its check rejects what would need quoting
            target = target.replace(parameter.placeholder, value)
            in_path[parameter.name] = value
        elif parameter.place == "query":
            query[parameter.name] = str(value).lower() if isinstance(value, bool) else str(value)
        else:
            body[parameter.name] = value
    if unreadable is not None:
        raise InvalidRequestError(
            f"{unreadable} must be a value whose own methods do not fail", parameter=unreadable
        )
    if operation.method == "PATCH" and not body:
        raise InvalidRequestError(
            f"{operation.name} needs at least one field to change", operation=operation.name
        )
    return Request(
        method=operation.method,
        route=operation.path,
        target=f"{target}?{urlencode(query)}" if query else target,
        in_path=in_path,
        body=msgspec.json.encode(body) if body else None,
    )


@attrs.define(kw_only=True)
class ListKeys:
    """Parameters of `list`."""

    include_disabled: bool | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.flag)
    )
    include_expired: bool | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.flag)
    )
    offset: int | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.whole_number)
    )
    workspace_id: str | uuid.UUID | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.identifier)
    )


@attrs.define(kw_only=True)
class CreateKeys:
    """Parameters of `create`."""

    name: str = attrs.field(metadata=sent_by(_checks.text))
    limit: float | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.usd, nullable=True)
    )
    limit_reset: LimitReset | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.limit_reset, nullable=True)
    )
    include_byok_in_limit: bool | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.strict_flag)
    )
    expires_at: datetime | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.instant, nullable=True)
    )
    creator_user_id: str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.text, nullable=True)
    )
    workspace_id: str | uuid.UUID | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.identifier)
    )
    external: External | Mapping[str, Any] | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.external), repr=False
    )


@attrs.define(kw_only=True)
class KeyHash:
    """Parameters of `get` and `delete`."""

    hash: str = attrs.field(metadata=sent_by(_checks.key_hash), repr=False)


@attrs.define(kw_only=True)
class UpdateKeys:
    """Parameters of `update`; what is omitted stays as it is."""

    hash: str = attrs.field(metadata=sent_by(_checks.key_hash), repr=False)
    name: str | Omitted | None = attrs.field(default=OMITTED, metadata=sent_by(_checks.text))
    disabled: bool | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.strict_flag)
    )
    limit: float | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.usd, nullable=True)
    )
    limit_reset: LimitReset | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.limit_reset, nullable=True)
    )
    include_byok_in_limit: bool | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.strict_flag)
    )
    workspace_id: str | uuid.UUID | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.identifier)
    )


@attrs.define(kw_only=True)
class NoParams:
    """No parameters."""


@attrs.define(kw_only=True)
class OnePage:
    """Parameters of a list whose pages have a `limit`, such as `workspaces.list`."""

    offset: int | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.whole_number)
    )
    limit: int | str | Omitted | None = attrs.field(
        default=OMITTED, metadata=sent_by(_checks.page_size)
    )


@attrs.define(kw_only=True)
class WorkspaceRef:
    """Parameters of `workspaces.get`."""

    id: str | uuid.UUID = attrs.field(metadata=sent_by(_checks.workspace_ref, echoed=False))
    """An id or a slug, so that the record's own `id` may be another."""


LIST: Final[Operation[ListKeys, ListResponse]] = Operation(
    name="list", method="GET", path="/keys", takes=ListKeys, returns=ListResponse,
    success=200, retry=RetryClass.READ,
    errors=frozenset({400, 401, 429, 500}),
    doc="List one page of keys, at most 100, newest first.",
)  # fmt: skip
CREATE: Final[Operation[CreateKeys, CreateKeysResponse]] = Operation(
    name="create", method="POST", path="/keys", takes=CreateKeys, returns=CreateKeysResponse,
    success=201, retry=RetryClass.CREATE,
    errors=frozenset({400, 401, 403, 429, 500}),
    doc="Create a key; its plaintext is shown once.",
)  # fmt: skip
GET: Final[Operation[KeyHash, GetKeyResponse]] = Operation(
    name="get", method="GET", path="/keys/{hash}", takes=KeyHash, returns=GetKeyResponse,
    success=200, retry=RetryClass.READ,
    errors=frozenset({401, 404, 429, 500}),
    doc="Get one key by its hash.",
)  # fmt: skip
UPDATE: Final[Operation[UpdateKeys, UpdateKeysResponse]] = Operation(
    name="update", method="PATCH", path="/keys/{hash}", takes=UpdateKeys,
    returns=UpdateKeysResponse, success=200, retry=RetryClass.UPDATE,
    errors=frozenset({400, 401, 404, 429, 500}),
    doc="Change a key; what is omitted stays as it is.",
)  # fmt: skip
DELETE: Final[Operation[KeyHash, DeleteKeysResponse]] = Operation(
    name="delete", method="DELETE", path="/keys/{hash}", takes=KeyHash,
    returns=DeleteKeysResponse, success=200, retry=RetryClass.DELETE,
    errors=frozenset({401, 404, 429, 500}),
    doc="Delete a key for good.",
)  # fmt: skip
CURRENT: Final[Operation[NoParams, GetCurrentKeyResponse]] = Operation(
    name="get_current_key_metadata", method="GET", path="/key", takes=NoParams,
    returns=GetCurrentKeyResponse, success=200, retry=RetryClass.READ,
    errors=frozenset({401, 500}),
    doc="Describe the key that makes the request.", command="whoami",
)  # fmt: skip
LIST_WORKSPACES: Final[Operation[OnePage, ListWorkspacesResponse]] = Operation(
    name="list_workspaces", method="GET", path="/workspaces", takes=OnePage,
    returns=ListWorkspacesResponse, success=200, retry=RetryClass.READ,
    errors=frozenset({401, 500}),
    doc="List one page of workspaces.", call="workspaces.list", command="workspaces",
)  # fmt: skip
GET_WORKSPACE: Final[Operation[WorkspaceRef, GetWorkspaceResponse]] = Operation(
    name="get_workspace", method="GET", path="/workspaces/{id}", takes=WorkspaceRef,
    returns=GetWorkspaceResponse, success=200, retry=RetryClass.READ,
    errors=frozenset({401, 404, 500}),
    doc="Get one workspace by its id or slug.", call="workspaces.get", command="workspaces",
)  # fmt: skip
LIST_KEY_ASSIGNMENTS: Final[Operation[OnePage, ListGuardrailKeyAssignmentsResponse]] = Operation(
    name="list_key_assignments", method="GET", path="/guardrails/assignments/keys", takes=OnePage,
    returns=ListGuardrailKeyAssignmentsResponse, success=200, retry=RetryClass.READ,
    errors=frozenset({400, 401, 403, 404, 500}),
    doc="List one page of the guardrails that are assigned to keys.",
    call="guardrails.list_key_assignments", command="rotate",
)  # fmt: skip

OPERATIONS: Final[tuple[Operation[Any, Any], ...]] = (
    LIST, CREATE, GET, UPDATE, DELETE, CURRENT, LIST_WORKSPACES, GET_WORKSPACE,
    LIST_KEY_ASSIGNMENTS,
)  # fmt: skip
