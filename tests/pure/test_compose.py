"""What goes over the wire for each parameter: not given, None, and a value."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

import pytest
from pure.samples import HASH, KEY, WORKSPACE
from support.secrets import assert_not_leaked

from openrouter_async import OMITTED, External, LimitReset, Secret
from openrouter_async._operations import OPERATIONS, Request, compose

ROWS = {row.name: row for row in OPERATIONS}
MINIMUM: dict[str, dict[str, Any]] = {
    "create": {"name": "acme"},
    "get": {"hash": HASH},
    "update": {"hash": HASH, "disabled": True},
    "delete": {"hash": HASH},
    "get_workspace": {"id": "production"},
}
OPTIONAL = [(row.name, p.name) for row in OPERATIONS for p in row.parameters if not p.required]


def composed(operation: str, **given: Any) -> Request:
    """The request for an operation with these parameters."""
    row = ROWS[operation]
    return compose(row, row.takes(**given))


@pytest.mark.parametrize(
    ("operation", "method", "target", "body"),
    [
        ("list", "GET", "/keys", None),
        ("create", "POST", "/keys", b'{"name":"acme"}'),
        ("get", "GET", f"/keys/{HASH}", None),
        ("update", "PATCH", f"/keys/{HASH}", b'{"disabled":true}'),
        ("delete", "DELETE", f"/keys/{HASH}", None),
        ("get_current_key_metadata", "GET", "/key", None),
        ("list_workspaces", "GET", "/workspaces", None),
        ("get_workspace", "GET", "/workspaces/production", None),
        ("list_key_assignments", "GET", "/guardrails/assignments/keys", None),
    ],
)
def test_the_least_request(operation: str, method: str, target: str, body: bytes | None) -> None:
    """With nothing but what is required: method, target and body to the byte."""
    request = composed(operation, **MINIMUM.get(operation, {}))
    assert (request.method, request.target, request.body) == (method, target, body)
    assert request.route == ROWS[operation].path


def of_parameter(operation: str, name: str, *, null: bool) -> Request:
    """The least request, with one optional parameter as None or omitted."""
    given = MINIMUM.get(operation, {}) | {name: None if null else OMITTED}
    if operation == "update" and len(given) == 2:
        given["limit"] = 1
    return composed(operation, **given)


@pytest.mark.parametrize(("operation", "name"), OPTIONAL)
def test_omitted(operation: str, name: str) -> None:
    """`OMITTED` sends nothing for any parameter."""
    request = of_parameter(operation, name, null=False)
    assert name not in request.target
    assert f'"{name}"'.encode() not in (request.body or b"")


@pytest.mark.parametrize(("operation", "name"), OPTIONAL)
def test_none(operation: str, name: str) -> None:
    """None is `null` where the service knows it, and means omitted everywhere else."""
    request = of_parameter(operation, name, null=True)
    nullable = {"limit", "limit_reset", "expires_at", "creator_user_id"}
    if name in nullable and ROWS[operation].method != "GET":
        assert f'"{name}":null'.encode() in (request.body or b"")
    else:
        assert request == of_parameter(operation, name, null=False)


class Word(StrEnum):
    """A word of a caller's own."""

    OFFSET = "100"
    NAME = "of an enum"
    YES = "true"


class Amount(float):
    """As NumPy's floats are, a subclass that JSON encoders refuse."""


class Count(int):
    """A subclass with a text of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        """Not the number."""
        return "seven"


@pytest.mark.parametrize(
    ("operation", "given", "query"),
    [
        ("list", {"include_disabled": True}, "include_disabled=true"),
        ("list", {"include_disabled": False}, "include_disabled=false"),
        ("list", {"include_disabled": "true"}, "include_disabled=true"),
        ("list", {"include_disabled": "false"}, "include_disabled=false"),
        ("list", {"include_disabled": Word.YES}, "include_disabled=true"),
        ("list", {"include_expired": True}, "include_expired=true"),
        ("list", {"include_expired": "false"}, "include_expired=false"),
        ("list", {"offset": 0}, "offset=0"),
        ("list", {"offset": 100}, "offset=100"),
        ("list", {"offset": "100"}, "offset=100"),
        ("list", {"offset": "007"}, "offset=7"),
        ("list", {"offset": Word.OFFSET}, "offset=100"),
        ("list", {"offset": Count(7)}, "offset=7"),
        ("list", {"offset": 10**15 - 1}, "offset=999999999999999"),
        ("list", {"offset": "9" * 15}, "offset=999999999999999"),
        ("list", {"workspace_id": WORKSPACE}, f"workspace_id={WORKSPACE}"),
        ("list", {"workspace_id": uuid.UUID(WORKSPACE)}, f"workspace_id={WORKSPACE}"),
        (
            "list",
            {"workspace_id": "a/b?c=d&e#f g%é"},
            "workspace_id=a%2Fb%3Fc%3Dd%26e%23f+g%25%C3%A9",
        ),
        (
            "list",
            {"workspace_id": "w", "offset": 1, "include_expired": True, "include_disabled": True},
            "include_disabled=true&include_expired=true&offset=1&workspace_id=w",
        ),
        ("list_workspaces", {"limit": 100, "offset": 100}, "offset=100&limit=100"),
        ("list_workspaces", {"limit": "1"}, "limit=1"),
    ],
    ids=range(21),
)
def test_query(operation: str, given: dict[str, Any], query: str) -> None:
    """Values are quoted, flags are words, and the strings of older docs are understood."""
    path = ROWS[operation].path
    request = composed(operation, **given)
    assert (request.target, request.body) == (f"{path}?{query}", None)


INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("given", "json"),
    [
        ({"limit": 50}, '"limit":50'),
        ({"limit": 12.5}, '"limit":12.5'),
        ({"limit": 0}, '"limit":0'),
        ({"limit": 1e12}, '"limit":1000000000000.0'),
        ({"limit": 1e-6}, '"limit":1e-6'),
        ({"limit": -0.0}, '"limit":0'),
        ({"limit": Decimal("0.1")}, '"limit":0.1'),
        ({"limit": Decimal("18.900")}, '"limit":18.9'),
        ({"limit": Fraction(1, 8)}, '"limit":0.125'),
        ({"limit": Amount(0.5)}, '"limit":0.5'),
        ({"limit": Count(7)}, '"limit":7'),
        ({"limit_reset": "monthly"}, '"limit_reset":"monthly"'),
        ({"limit_reset": LimitReset.DAILY}, '"limit_reset":"daily"'),
        ({"include_byok_in_limit": True}, '"include_byok_in_limit":true'),
        ({"include_byok_in_limit": False}, '"include_byok_in_limit":false'),
        ({"creator_user_id": "user_1"}, '"creator_user_id":"user_1"'),
        ({"workspace_id": uuid.UUID(WORKSPACE)}, f'"workspace_id":"{WORKSPACE}"'),
        ({"expires_at": datetime(2027, 1, 1, tzinfo=UTC)}, '"expires_at":"2027-01-01T00:00:00Z"'),
        (
            {"expires_at": datetime(2027, 1, 1, 5, 30, 1, 500, tzinfo=INDIA)},
            '"expires_at":"2027-01-01T00:00:01.000500Z"',
        ),
        ({"expires_at": "2027-12-31T23:59:59Z"}, '"expires_at":"2027-12-31T23:59:59Z"'),
        ({"expires_at": "2027-12-31T23:59:59+02:00"}, '"expires_at":"2027-12-31T21:59:59Z"'),
        ({"expires_at": "2027-12-31T23:59:59.123Z"}, '"expires_at":"2027-12-31T23:59:59.123000Z"'),
        ({"expires_at": "2027-12-31T23:59Z"}, '"expires_at":"2027-12-31T23:59:00Z"'),
        (
            {"external": External(user="u", api_key=KEY)},
            f'"external":{{"user":"u","api_key":"{KEY}"}}',
        ),
        (
            {"external": {"api_key": Secret(KEY), "user": "u"}},
            f'"external":{{"user":"u","api_key":"{KEY}"}}',
        ),
        (
            {"external": {"user": "u", "api_key": KEY}},
            f'"external":{{"user":"u","api_key":"{KEY}"}}',
        ),
        (
            {"external": {"user": "ключ", "api_key": "x" * 32}},
            f'"external":{{"user":"ключ","api_key":"{"x" * 32}"}}',
        ),
        ({"external": {"user": "u"}}, '"external":{"user":"u"}'),
        ({"external": {"user": "u", "api_key": None}}, '"external":{"user":"u"}'),
        ({"external": External(user="u")}, '"external":{"user":"u"}'),
    ],
    ids=range(30),
)
def test_body_of_create(given: dict[str, Any], json: str) -> None:
    """Amounts stay as given, dates become UTC with seconds, a secret goes only into the body."""
    request = composed("create", name="acme", **given)
    assert request.body == f'{{"name":"acme",{json}}}'.encode()
    assert_not_leaked(KEY, repr(request), request.target)


@pytest.mark.parametrize(
    ("given", "json"),
    [
        ({"name": "new"}, '"name":"new"'),
        ({"disabled": False}, '"disabled":false'),
        ({"limit": None}, '"limit":null'),
        ({"limit_reset": None}, '"limit_reset":null'),
        ({"limit": 1, "limit_reset": LimitReset.WEEKLY}, '"limit":1,"limit_reset":"weekly"'),
        ({"include_byok_in_limit": True}, '"include_byok_in_limit":true'),
        ({"workspace_id": "w"}, '"workspace_id":"w"'),
        ({"name": None, "disabled": None, "limit": 5}, '"limit":5'),
    ],
    ids=range(8),
)
def test_body_of_update(given: dict[str, Any], json: str) -> None:
    """Only what is given is sent, so that renaming a key does not remove its limit."""
    request = composed("update", hash=HASH, **given)
    assert (request.target, request.body) == (f"/keys/{HASH}", f"{{{json}}}".encode())


@pytest.mark.parametrize(
    ("name", "json"),
    [
        ("ключ 🔑", '"ключ 🔑"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("x" * 10_000, f'"{"x" * 10_000}"'),
        ("</script>", '"</script>"'),
        (Word.NAME, '"of an enum"'),
    ],
    ids=range(5),
)
def test_any_name_is_sent_as_it_is(name: str, json: str) -> None:
    """In UTF-8, escaped as JSON demands, and not shortened."""
    assert composed("create", name=name).body == f'{{"name":{json}}}'.encode()


@pytest.mark.parametrize("hash", ["0" * 8, "a" * 128, "A-z_0-9-_", HASH, "____----"])
def test_hashes_go_into_the_path(hash: str) -> None:
    """A hash is opaque: any of the allowed shape becomes the last segment as it is."""
    for operation in ("get", "delete"):
        assert composed(operation, hash=hash).target == f"/keys/{hash}"
