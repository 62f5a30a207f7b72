"""One call of each operation: how it is made, what it sends, and a valid response."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from openrouter_async import AsyncOpenRouter
from support.steps import Step, reply

ClientFor = Callable[..., AsyncOpenRouter]
"""The fixture `client_for` of the wire tests."""

KEY: Final = "sk-or-v1-" + "5e" * 32
"""A management key for tests that do not search for leaks of it."""
NEW_KEY: Final = "sk-or-v1-" + "d4" * 32
HASH: Final = "b01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce945"


def record(**changes: Any) -> dict[str, Any]:
    """Return a key's record in the service's shape; `...` omits a field."""
    usage = {f"{kind}{window}": 0.5 for kind in ("usage", "byok_usage") for window in _WINDOWS}
    fields = {
        "hash": HASH,
        "name": "acme",
        "label": "sk-or-v1-d4d...4d4",
        "disabled": False,
        "include_byok_in_limit": True,
        **usage,
        "limit": 10,
        "limit_remaining": 9.5,
        "limit_reset": "monthly",
        "created_at": "2026-07-01T09:30:00.123456+00:00",
        "updated_at": None,
        "expires_at": None,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


_WINDOWS = ("", "_daily", "_weekly", "_monthly")
CURRENT_KEY: Final = {"label": "sk-or-v1-5e5...e5e", "usage": 0.5, "is_free_tier": False}


def pages_of(rows: list[Any], page_size: int = 100) -> Callable[[Any], Step]:
    """Return a handler that lists these records, `page_size` per page."""

    def handler(request: Any) -> Step:
        offset = int(parse_qs(urlsplit(request.target).query).get("offset", ["0"])[0])
        return reply(json={"data": rows[offset : offset + page_size]})

    return handler


def problem(status: int, message: str = "no", **metadata: Any) -> dict[str, Any]:
    """Return an error's document in the service's shape."""
    return {"error": {"code": status, "message": message, "metadata": metadata or None}}


@dataclass(frozen=True)
class Call:
    """A call of an operation with fixed params."""

    name: str
    """The method's name."""
    method: str
    target: str
    """The path below the base URL."""
    document: Any
    """The response."""
    status: int = 200
    place: str = "api_keys"
    parameters: tuple[tuple[str, Any], ...] = ()
    sent: Any = None
    """The request's body as JSON."""

    def __call__(self, client: AsyncOpenRouter, **options: Any) -> Awaitable[Any]:
        """Make the call."""
        method = getattr(getattr(client, self.place), self.name)
        return method(**dict(self.parameters), **options)

    def __str__(self) -> str:
        """Return the id of a parametrized test."""
        return self.name if self.place == "api_keys" else f"{self.place}.{self.name}"

    @property
    def body(self) -> bytes:
        """The exact bytes of the request's body."""
        return json.dumps(self.sent, separators=(",", ":")).encode() if self.sent else b""

    @property
    def operation(self) -> str:
        """The operation's name in errors and log lines."""
        if self.place == "workspaces":
            return "list_workspaces" if self.name == "list" else "get_workspace"
        return self.name

    def ok(self, **options: Any) -> Step:
        """Build a step that responds with success."""
        return reply(self.status, json=self.document, **options)


LIST: Final = Call("list", "GET", "/keys", {"data": [record()]})
CREATE: Final = Call(
    "create", "POST", "/keys", {"data": record(), "key": NEW_KEY}, 201,
    parameters=(("name", "acme"), ("limit", 10)), sent={"name": "acme", "limit": 10},
)  # fmt: skip
GET: Final = Call(
    "get", "GET", f"/keys/{HASH}", {"data": record()}, parameters=(("hash", HASH),)
)  # fmt: skip
UPDATE: Final = Call(
    "update", "PATCH", f"/keys/{HASH}", {"data": record(disabled=True)},
    parameters=(("hash", HASH), ("disabled", True)), sent={"disabled": True},
)  # fmt: skip
DELETE: Final = Call(
    "delete", "DELETE", f"/keys/{HASH}", {"deleted": True}, parameters=(("hash", HASH),)
)  # fmt: skip
CURRENT: Final = Call("get_current_key_metadata", "GET", "/key", {"data": CURRENT_KEY})
WORKSPACES: Final = Call(
    "list", "GET", "/workspaces", {"data": [{"id": "w1", "name": "Default"}], "total_count": 1},
    place="workspaces",
)  # fmt: skip
WORKSPACE: Final = Call(
    "get", "GET", "/workspaces/production", {"data": {"id": "w1", "name": "Production"}},
    place="workspaces", parameters=(("id", "production"),),
)  # fmt: skip
ASSIGNMENT: Final = {"id": "a1", "guardrail_id": "g1", "key_hash": HASH}
ASSIGNMENTS: Final = Call(
    "list_key_assignments", "GET", "/guardrails/assignments/keys",
    {"data": [ASSIGNMENT], "total_count": 1}, place="guardrails",
)  # fmt: skip

CALLS: Final = (LIST, CREATE, GET, UPDATE, DELETE, CURRENT, WORKSPACES, WORKSPACE, ASSIGNMENTS)
REPEATABLE: Final = tuple(call for call in CALLS if call is not CREATE)
"""All but the create, which is never retried once it may have arrived."""
