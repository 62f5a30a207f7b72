"""The sandbox keeps the service's rules, as seen over HTTP by a client that shares no code."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from openrouter_async import to_dict
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

NOW = datetime(2026, 7, 15, 12, 0, 0, 123_456, tzinfo=UTC)
EXAMPLE = f"/keys/{EXAMPLE_HASH}"
MANAGEMENT_ONLY = "Only management keys can perform this operation"


class Service:
    """A sandbox at a given time, and the plainest of clients."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.now = NOW
        self.box = Sandbox(now=lambda: self.now)
        self._session = session

    async def __call__(
        self, method: str, path: str, *, key: str | None = "", **options: Any
    ) -> tuple[int, Any]:
        """Return status and document; `key` is empty for the management key, None for none."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.box.management_key}"
        url = self.box.url + path
        async with self._session.request(method, url, headers=headers, **options) as answer:
            assert answer.content_type == "application/json"
            assert re.fullmatch("[0-9a-f]{16}-BOX", answer.headers["cf-ray"])
            return answer.status, json.loads(await answer.read())

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Create a key and give the answer's document."""
        status, document = await self("POST", "/keys", json={"name": "a key", **fields})
        assert status == 201
        return dict(document)

    async def names(self, query: str = "") -> list[str]:
        """List a page and give the names on it."""
        status, document = await self("GET", f"/keys?{query}")
        assert status == 200
        return [key["name"] for key in document["data"]]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A sandbox that holds nothing but the key of the official examples."""
    async with aiohttp.ClientSession() as session:
        service = Service(session)
        async with service.box:
            yield service


def error(status: int, message: str) -> tuple[int, Any]:
    """Return what the service answers to what it refuses."""
    return status, {"error": {"code": status, "message": message}}


async def test_create_shows_the_key_once(service: Service) -> None:
    """The plaintext stands beside the record, whose label masks it; it is not shown again."""
    created = await service.create(name="Acme", limit=50, limit_reset="monthly")
    record, key = created["data"], created["key"]
    assert re.fullmatch(r"sk-or-v1-[0-9a-f]{64}", key)
    assert re.fullmatch(r"[0-9a-f]{64}", record["hash"])
    assert record["label"] == f"{key[:12]}...{key[-3:]}"
    assert record == {
        "hash": record["hash"], "name": "Acme", "label": record["label"], "disabled": False,
        "limit": 50, "limit_remaining": 50, "limit_reset": "monthly",
        "include_byok_in_limit": False, "usage": 0, "usage_daily": 0, "usage_weekly": 0,
        "usage_monthly": 0, "byok_usage": 0, "byok_usage_daily": 0, "byok_usage_weekly": 0,
        "byok_usage_monthly": 0, "created_at": "2026-07-15T12:00:00.123000Z", "updated_at": None,
        "expires_at": None, "creator_user_id": "user_2dHFtVWx2n56w6HkM0000000000",
        "workspace_id": service.box.workspaces[0].id, "external_user": None, "last_used_at": None,
    }  # fmt: skip
    status, document = await service("GET", f"/keys/{record['hash']}")
    assert (status, document) == (200, {"data": record})
    assert key not in json.dumps(await service("GET", "/keys"))


async def test_create_takes_every_parameter(service: Service) -> None:
    """What is given is what the record says."""
    workspace = service.box.workspaces[2].id
    record = (
        await service.create(
            limit=0.5,
            include_byok_in_limit=True,
            expires_at="2027-12-31T23:59:59.5Z",
            creator_user_id="user_1",
            workspace_id=workspace.upper(),
            external={"user": "customer-17", "api_key": "x" * 32},
        )
    )["data"]
    assert (record["limit"], record["include_byok_in_limit"]) == (0.5, True)
    assert record["expires_at"] == "2027-12-31T23:59:59.500000Z"
    assert (record["creator_user_id"], record["external_user"]) == ("user_1", "customer-17")
    assert record["workspace_id"] == workspace


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({}, "name"), ({"name": ""}, "name"), ({"name": None}, "name"), ({"name": 5}, "name"),
        ({"limit": -1}, "limit"), ({"limit": "5"}, "limit"), ({"limit": True}, "limit"),
        ({"limit": 1e300}, "limit"), ({"limit_reset": "yearly"}, "limit_reset"),
        ({"limit_reset": ""}, "limit_reset"),
        ({"include_byok_in_limit": "true"}, "include_byok_in_limit"),
        ({"include_byok_in_limit": None}, "include_byok_in_limit"),
        ({"expires_at": "2027-12-31T23:59:59+00:00"}, "expires_at"),
        ({"expires_at": "2027-12-31T23:59:59+02:00"}, "expires_at"),
        ({"expires_at": "2027-12-31T23:59Z"}, "expires_at"),
        ({"expires_at": "2027-12-31T23:59:59"}, "expires_at"),
        ({"expires_at": "2027-12-31"}, "expires_at"), ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2027-02-30T00:00:00Z"}, "expires_at"), ({"expires_at": 5}, "expires_at"),
        ({"creator_user_id": ""}, "creator_user_id"), ({"workspace_id": "abc"}, "workspace_id"),
        ({"workspace_id": None}, "workspace_id"), ({"external": {}}, "external"),
        ({"external": {"api_key": "x" * 32}}, "external"), ({"external": "u"}, "external"),
        ({"external": {"user": "u", "api_key": "short"}}, "external.api_key"),
    ],
)  # fmt: skip
async def test_create_refuses_by_name(
    service: Service, fields: dict[str, Any], parameter: str
) -> None:
    """A value that the service would refuse is a 400 that names it, and makes no key."""
    body = json.dumps({"name": "a key", **fields} if fields else {})
    headers = {"Content-Type": "application/json"}
    status, document = await service("POST", "/keys", data=body, headers=headers)
    assert status == 400
    assert document["error"]["message"].startswith(parameter + " ")
    assert len(service.box.keys) == 1


async def test_null_is_a_value_where_the_service_knows_it(service: Service) -> None:
    """Limit, reset, expiry and creator may be null, which is the same as leaving them out."""
    nulls = dict.fromkeys(["limit", "limit_reset", "expires_at", "creator_user_id"])
    record = (await service.create(**nulls))["data"]
    assert [record[name] for name in ("limit", "limit_reset", "expires_at")] == [None] * 3
    assert record["creator_user_id"].startswith("user_")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"), (b"{", "application/json"), (b"[]", "application/json"),
        (b"null", "application/json"), (b'"name"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"name": "a", "limit": NaN}', "application/json"), (b"[" * 100_000, "application/json"),
        (b'{"name": "a", "limit": 1e400}', "application/json"),
        (b'{"name": "\\ud800"}', "application/json"), (b'{"name": "a"}', "text/plain"),
        (b"name=a", "application/x-www-form-urlencoded"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
async def test_a_body_that_is_no_json_object(
    service: Service, body: bytes, content_type: str
) -> None:
    """What cannot be read is a 400 in JSON, for create and for update."""
    headers = {"Content-Type": content_type}
    for method, path in (("POST", "/keys"), ("PATCH", EXAMPLE)):
        status, document = await service(method, path, data=body, headers=headers)
        assert (status, document["error"]["code"]) == (400, 400)
    assert len(service.box.keys) == 1


async def test_pages_are_a_hundred_newest_first(service: Service) -> None:
    """Pages do not overlap, the last is short, and beyond it there is an empty one."""
    for number in range(203):
        await service.create(name=f"{number}")
    pages = [await service.names(f"offset={offset}") for offset in (0, 100, 200, 204, 10**14)]
    assert [len(page) for page in pages] == [100, 100, 4, 0, 0]
    names = [name for page in pages for name in page]
    assert names == [*(f"{number}" for number in reversed(range(203))), "My Production Key"]


@pytest.mark.parametrize(
    "query",
    ["offset=-1", "offset=x", "offset=", "include_disabled=1", "include_expired=TRUE",
     "workspace_id=x", "workspace_id="],
)  # fmt: skip
async def test_list_refuses_by_name(service: Service, query: str) -> None:
    """A wrong query parameter is a 400 that names it."""
    status, document = await service("GET", f"/keys?{query}")
    assert status == 400
    assert document["error"]["message"].startswith(query.partition("=")[0])


async def test_disabled_and_expired_keys_are_left_out(service: Service) -> None:
    """They are listed only where that is asked for; the page is filled up from behind them."""
    disabled = (await service.create(name="disabled"))["data"]["hash"]
    await service("PATCH", f"/keys/{disabled}", json={"disabled": True})
    await service.create(name="expired", expires_at="2026-07-15T13:00:00Z")
    both = (await service.create(name="both", expires_at="2026-07-15T13:00:00Z"))["data"]["hash"]
    await service("PATCH", f"/keys/{both}", json={"disabled": True})
    service.now += timedelta(hours=1)
    example = "My Production Key"
    assert await service.names() == [example]
    assert await service.names("include_disabled=true") == ["disabled", example]
    assert await service.names("include_expired=true") == ["expired", example]
    everything = "include_expired=true&include_disabled=true"
    assert await service.names(everything) == ["both", "expired", "disabled", example]
    assert await service.names(everything + "&offset=1") == ["expired", "disabled", example]
    assert await service.names("include_expired=false&include_disabled=false") == [example]


async def test_workspaces_are_apart(service: Service) -> None:
    """Without a workspace only the default one is listed; a move keeps the order of creation."""
    default, other = (workspace.id for workspace in service.box.workspaces[:2])
    first = (await service.create(name="first"))["data"]["hash"]
    await service.create(name="second", workspace_id=other)
    await service.create(name="third")
    assert await service.names() == ["third", "first", "My Production Key"]
    assert await service.names(f"workspace_id={other}") == ["second"]
    status, document = await service("PATCH", f"/keys/{first}", json={"workspace_id": other})
    assert (status, document["data"]["workspace_id"]) == (200, other)
    await service("PATCH", EXAMPLE, json={"workspace_id": default})
    assert await service.names() == ["third", "My Production Key"]
    assert await service.names(f"workspace_id={other}") == ["second", "first"]


async def test_an_unknown_workspace(service: Service) -> None:
    """It is a 404 wherever it is named, and nothing is changed."""
    unknown = "00000000-0000-4000-8000-000000000000"
    gone = error(404, "Workspace not found")
    assert await service("GET", f"/keys?workspace_id={unknown}") == gone
    assert await service("POST", "/keys", json={"name": "a", "workspace_id": unknown}) == gone
    change = {"name": "b", "workspace_id": unknown}
    assert await service("PATCH", EXAMPLE, json=change) == gone
    assert [key.name for key in service.box.keys] == ["My Production Key"]


async def test_update_changes_what_is_given(service: Service) -> None:
    """Absent fields stay, unknown ones and the expiry are ignored, and the change is dated."""
    change = {"name": "renamed", "limit": 75, "expires_at": "2027-12-31T23:59:59Z", "colour": 1}
    before = (await service("GET", EXAMPLE))[1]["data"]
    status, document = await service("PATCH", EXAMPLE, json=change)
    changed = {"name": "renamed", "limit": 75, "limit_remaining": 49.5,
               "updated_at": "2026-07-15T12:00:00.123000Z"}  # fmt: skip
    assert (status, document) == (200, {"data": {**before, **changed}})
    assert (await service("GET", EXAMPLE))[1] == document


async def test_update_removes_and_resets_a_limit(service: Service) -> None:
    """`limit: null` removes the cap; the reset decides which spending counts."""
    service.now += timedelta(days=1)
    seen = []
    for change in ({"limit_reset": "daily"}, {"limit_reset": None}, {"limit": None}):
        record = (await service("PATCH", EXAMPLE, json=change))[1]["data"]
        seen.append((record["limit"], record["limit_reset"], record["limit_remaining"]))
    assert seen == [(100, "daily", 100), (100, None, 74.5), (None, None, None)]


async def test_a_raised_limit_does_not_enable(service: Service) -> None:
    """Disabled, exhausted and expired are three things."""
    await service("PATCH", EXAMPLE, json={"disabled": True})
    record = (await service("PATCH", EXAMPLE, json={"limit": 1000}))[1]["data"]
    assert (record["disabled"], record["limit_remaining"]) == (True, 974.5)


@pytest.mark.parametrize("body", [{}, {"expires_at": "2027-12-31T23:59:59Z"}, {"hash": "x"}])
async def test_update_without_a_field(service: Service, body: dict[str, Any]) -> None:
    """A body with no field that can be changed is refused."""
    assert await service("PATCH", EXAMPLE, json=body) == error(400, "No update fields provided")
    assert (await service("GET", EXAMPLE))[1]["data"]["updated_at"] is None


@pytest.mark.parametrize(
    "body",
    [{"name": ""}, {"name": None}, {"disabled": "true"}, {"disabled": None}, {"limit": -0.01},
     {"limit_reset": "hourly"}, {"workspace_id": "x"}],
)  # fmt: skip
async def test_update_refuses_by_name(service: Service, body: dict[str, Any]) -> None:
    """A wrong value is a 400 that names it, and nothing is changed."""
    status, document = await service("PATCH", EXAMPLE, json=body)
    assert status == 400
    assert document["error"]["message"].startswith(f"{next(iter(body))} must be")
    assert service.box.keys[0].updated_at is None


async def test_delete_is_final(service: Service) -> None:
    """After a delete the key is gone for every operation, and its plaintext works no more."""
    created = await service.create()
    path, key = f"/keys/{created['data']['hash']}", created["key"]
    assert (await service("GET", "/key", key=key))[0] == 200
    assert await service("DELETE", path) == (200, {"deleted": True})
    gone = error(404, "Resource not found")
    assert await service("DELETE", path) == gone
    assert await service("GET", path) == gone
    assert await service("PATCH", path, json={"name": "b"}) == gone
    assert (await service("GET", "/key", key=key))[0] == 401


@pytest.mark.parametrize("hash", ["x", "0" * 64, "sk-or-v1-0", "a%2Fb", "..%2Fkey", "%00", "é"])
async def test_a_hash_that_names_nothing(service: Service, hash: str) -> None:
    """Whatever stands in the hash's place, there is no such key."""
    assert await service("GET", f"/keys/{hash}") == error(404, "Resource not found")


OPERATIONS = [
    ("GET", "/keys"), ("POST", "/keys"), ("GET", EXAMPLE), ("PATCH", EXAMPLE),
    ("DELETE", EXAMPLE), ("GET", "/workspaces"), ("GET", "/workspaces/production"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_inference_keys_manage_nothing(service: Service, method: str, path: str) -> None:
    """Only a management key may do more than describe itself; that is checked before all else."""
    key = service.box.inference_key(EXAMPLE_HASH)
    assert await service(method, path, key=key) == error(403, MANAGEMENT_ONLY)
    assert len(service.box.keys) == 1


@pytest.mark.parametrize(("method", "path"), [*OPERATIONS, ("GET", "/key")])
async def test_without_a_good_key_nothing_works(service: Service, method: str, path: str) -> None:
    """A missing key and an unknown one are told apart."""
    assert await service(method, path, key=None) == error(401, "Missing Authentication header")
    for header in ("", "Bearer", "Bearer ", "Basic abc", service.box.management_key):
        answer = await service(method, path, key=None, headers={"Authorization": header})
        assert answer == error(401, "Missing Authentication header")
    assert await service(method, path, key="sk-or-v1-0") == error(401, "User not found.")
    header = f"bearer {service.box.management_key}"
    answer = await service(method, path, key=None, headers={"Authorization": header})
    assert answer[0] != 401


async def test_disabled_and_expired_keys_are_unknown(service: Service) -> None:
    """They answer 401, and work again once they are enabled."""
    created = await service.create(expires_at="2026-07-15T13:00:00Z")
    path, key = f"/keys/{created['data']['hash']}", created["key"]
    seen = []
    for disabled in (True, False):
        await service("PATCH", path, json={"disabled": disabled})
        seen.append((await service("GET", "/key", key=key))[0])
    service.now += timedelta(hours=1)
    assert [*seen, await service("GET", "/key", key=key)] == [
        401, 200, error(401, "User not found."),
    ]  # fmt: skip


async def test_an_inference_key_describes_itself(service: Service) -> None:
    """`GET /key` gives the caller's own limit, usage and budget, with the newer fields."""
    service.box.spend(EXAMPLE_HASH, 80)
    status, document = await service("GET", "/key", key=service.box.inference_key(EXAMPLE_HASH))
    budget = {
        "scope": "key_limit", "limit_usd": 100, "spend_usd": 105.5, "remaining_usd": -5.5,
        "reset_interval": "monthly", "resets_at": "2026-08-01T00:00:00Z", "include_byok": False,
        "budget_id": None, "guardrail_id": None,
    }  # fmt: skip
    assert status == 200
    assert document["data"] == {
        "label": service.box.keys[0].label, "is_free_tier": False, "is_management_key": False,
        "is_provisioning_key": False, "limit": 100, "limit_remaining": -5.5,
        "limit_reset": "monthly", "include_byok_in_limit": False, "usage": 105.5,
        "usage_daily": 105.5, "usage_weekly": 105.5, "usage_monthly": 105.5, "byok_usage": 17.38,
        "byok_usage_daily": 17.38, "byok_usage_weekly": 17.38, "byok_usage_monthly": 17.38,
        "creator_user_id": "user_2dHFtVWx2n56w6HkM0000000000", "expires_at": None,
        "organization_id": None, "workspace_id": service.box.workspaces[0].id,
        "allowed_data_regions": ["global"], "budgets": [budget], "effective_budget": budget,
        "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
    }  # fmt: skip


async def test_the_management_key_describes_itself(service: Service) -> None:
    """It says that it is one, has no limit, and is not among the keys."""
    data = (await service("GET", "/key"))[1]["data"]
    assert (data["is_management_key"], data["is_provisioning_key"]) == (True, True)
    assert (data["limit"], data["usage"], data["budgets"]) == (None, 0, [])
    assert data["label"] not in [key.label for key in service.box.keys]


async def test_workspaces_in_pages(service: Service) -> None:
    """The total is told whatever the page; the default workspace comes first."""
    status, document = await service("GET", "/workspaces")
    assert (status, document["total_count"], len(document["data"])) == (200, 5, 5)
    assert document["data"][0]["slug"] == "default"
    page = (await service("GET", "/workspaces?limit=2&offset=3"))[1]
    assert page == {"data": document["data"][3:], "total_count": 5}
    assert (await service("GET", "/workspaces?offset=9"))[1] == {"data": [], "total_count": 5}
    for wrong in ("limit=0", "limit=101", "limit=x", "offset=-1"):
        status, document = await service("GET", f"/workspaces?{wrong}")
        assert (status, document["error"]["code"]) == (400, 400)


async def test_requests_are_told(service: Service) -> None:
    """What was asked of the sandbox can be counted by operation, with what was answered."""
    await service.create()
    await service("GET", "/keys/none")
    await service("GET", "/key", key=None)
    assert [(r.operation, r.method, r.path, r.status) for r in service.box.requests] == [
        ("create", "POST", "/keys", 201),
        ("get", "GET", "/keys/{hash}", 404),
        ("get_current_key_metadata", "GET", "/key", 401),
    ]


@pytest.mark.parametrize("ref", ["slug", "id"])
async def test_a_workspace_by_id_or_slug(service: Service, ref: str) -> None:
    """Both name the same workspace, and nothing else does."""
    for workspace in service.box.workspaces:
        answer = await service("GET", f"/workspaces/{getattr(workspace, ref)}")
        assert answer == (200, {"data": to_dict(workspace)})
    assert await service("GET", "/workspaces/nowhere") == error(404, "Workspace not found")
