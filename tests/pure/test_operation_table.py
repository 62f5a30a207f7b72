"""The table says what the service's API is, and each row agrees with itself."""

from contextlib import suppress
from urllib.parse import quote

import attrs
import pytest
from hypothesis import given
from hypothesis.strategies import from_regex, text

from openrouter_async._operations import (
    CREATE,
    OPERATIONS,
    PAGE_SIZE,
    UPDATE,
    Operation,
    Parameter,
    RetryClass,
)
from openrouter_async.errors import InvalidRequestError

ROWS = {
    # name: method, path, declared success, column of the retry table, the client's method
    "list": ("GET", "/keys", 200, "read", "api_keys.list"),
    "create": ("POST", "/keys", 201, "create", "api_keys.create"),
    "get": ("GET", "/keys/{hash}", 200, "read", "api_keys.get"),
    "update": ("PATCH", "/keys/{hash}", 200, "update", "api_keys.update"),
    "delete": ("DELETE", "/keys/{hash}", 200, "delete", "api_keys.delete"),
    "get_current_key_metadata": (
        "GET", "/key", 200, "read", "api_keys.get_current_key_metadata",
    ),
    "list_workspaces": ("GET", "/workspaces", 200, "read", "workspaces.list"),
    "get_workspace": ("GET", "/workspaces/{id}", 200, "read", "workspaces.get"),
    "list_key_assignments": (
        "GET", "/guardrails/assignments/keys", 200, "read", "guardrails.list_key_assignments",
    ),
}  # fmt: skip

TAKES = {
    # name: parameters by place; `!` marks a required one, `?` one whose None goes out as null
    "list": {"query": "include_disabled include_expired offset workspace_id"},
    "create": {
        "body": "name! limit? limit_reset? include_byok_in_limit expires_at? creator_user_id? "
        "workspace_id external"
    },
    "get": {"path": "hash!"},
    "update": {
        "path": "hash!",
        "body": "name disabled limit? limit_reset? include_byok_in_limit workspace_id",
    },
    "delete": {"path": "hash!"},
    "get_current_key_metadata": {},
    "list_workspaces": {"query": "offset limit"},
    "get_workspace": {"path": "id!"},
    "list_key_assignments": {"query": "offset limit"},
}

by_name = pytest.mark.parametrize("operation", OPERATIONS, ids=[row.name for row in OPERATIONS])


def test_the_rows() -> None:
    """Every operation is there once, with the documented method, path, status and retry class."""
    assert [operation.name for operation in OPERATIONS] == list(ROWS)
    assert {
        row.name: (row.method, row.path, row.success, row.retry.value, row.call)
        for row in OPERATIONS
    } == ROWS


def test_names_are_unique() -> None:
    """No two rows share a name, a method of the client or a request."""
    for field in ("name", "call"):
        assert len({getattr(row, field) for row in OPERATIONS}) == len(OPERATIONS)
    assert len({(row.method, row.path) for row in OPERATIONS}) == len(OPERATIONS)


@by_name
def test_parameters(operation: Operation[object, object]) -> None:
    """Each parameter stands in its place, and is required or nullable as documented."""
    found: dict[str, str] = {}
    for parameter in operation.parameters:
        mark = "!" * parameter.required + "?" * parameter.nullable
        found[parameter.place] = f"{found.get(parameter.place, '')} {parameter.name}{mark}".strip()
    assert found == TAKES[operation.name]


@by_name
def test_parameters_are_the_fields_of_the_class(operation: Operation[object, object]) -> None:
    """The class that a row takes has these parameters, keywords only, and no others."""
    fields = attrs.fields(operation.takes)  # type: ignore[arg-type]
    assert [parameter.name for parameter in operation.parameters] == [f.name for f in fields]
    assert all(field.kw_only for field in fields)


@by_name
def test_every_path_is_filled(operation: Operation[object, object]) -> None:
    """What stands in braces in a path is a parameter, required and never null."""
    in_path = [p for p in operation.parameters if p.place == "path"]
    assert operation.path.count("{") == len(in_path)
    for parameter in in_path:
        assert f"{{{parameter.name}}}" in operation.path
        assert parameter.required
        assert not parameter.nullable


@by_name
def test_rows_are_fit_to_be_shown(operation: Operation[object, object]) -> None:
    """A row has one sentence, answers a class with data, and its path ends in no slash."""
    assert operation.doc.endswith(".")
    assert "\n" not in operation.doc
    assert attrs.has(operation.returns)
    assert operation.path.startswith("/")
    assert not operation.path.endswith("/")


def test_only_reads_change_nothing() -> None:
    """GET and no other method is in the column of what can be repeated freely."""
    for row in OPERATIONS:
        assert (row.retry is RetryClass.READ) == (row.method == "GET")
    assert [row for row in OPERATIONS if row.retry is RetryClass.CREATE] == [CREATE]


def test_rows_cannot_be_changed() -> None:
    """The table is a constant."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        UPDATE.path = "/"  # type: ignore[misc]
    assert PAGE_SIZE == 100


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("get_current_key_metadata", "whoami"),
        ("list_workspaces", "workspaces"),
        ("get_workspace", "workspaces"),
        ("list_key_assignments", "rotate"),
        ("get", "get"),
    ],
)
def test_commands(name: str, command: str) -> None:
    """A command is called like the operation, has a shorter word, or needs it on its way."""
    assert [row.command for row in OPERATIONS if row.name == name] == [command]


PATH_PARAMETERS = {
    f"{row.name} {parameter.name}": parameter
    for row in OPERATIONS
    for parameter in row.parameters
    if parameter.place == "path"
}


@pytest.mark.parametrize("parameter", PATH_PARAMETERS.values(), ids=PATH_PARAMETERS.keys())
@given(value=text() | from_regex("[A-Za-z0-9_.~/%-]{8,20}", fullmatch=True))
def test_what_goes_into_a_path_needs_no_quoting(parameter: Parameter, value: str) -> None:
    """The rule of each such parameter refuses what a URL would have to quote."""
    with suppress(InvalidRequestError):
        assert quote(parameter.check(parameter.name, value), safe="") == value
