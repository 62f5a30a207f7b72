"""The operation table and the sandbox against the service's published description.

`tests/data/published_description.json` has its names, types and statuses, and no prose. To check a
newer description, name its file in `OPENROUTER_DESCRIPTION`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import jsonschema
import pytest

from openrouter_async import OpenRouter
from openrouter_async._operations import OPERATIONS, Operation
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

OURS = Path(__file__).parents[1] / "data" / "published_description.json"
FILE = Path(os.environ.get("OPENROUTER_DESCRIPTION", OURS))

# What the table has beyond the description of August 2026, and where that was seen.
SDK = "official Python SDK 1.3.84"
ADDITIONS = {
    ("list", "include_expired"): SDK,
    ("create", "external"): SDK,
    ("update", "workspace_id"): SDK,
}
ADDED_FIELDS = {
    "external_user": SDK,
    "last_used_at": SDK,
    "organization_id": SDK,
    "workspace_id": SDK,
    "allowed_data_regions": SDK,
    "budgets": SDK,
    "effective_budget": SDK,
    "free_model_daily_requests": SDK,
}


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The whole document."""
    document: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return document


def described(document: dict[str, Any], operation: Operation[Any, Any]) -> dict[str, Any]:
    """What the document says of a row."""
    found: dict[str, Any] = document["paths"][operation.path][operation.method.lower()]
    return found


def schema(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """An answer's JSON Schema, with what it refers to."""
    return {**answer["content"]["application/json"]["schema"], "components": document["components"]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_table_is_a_superset(description: dict[str, Any], operation: Operation[Any, Any]) -> None:
    """Each described parameter is ours, in its place; ours beyond these are listed above."""
    said = described(description, operation)
    expected = {
        (parameter["name"], parameter["in"])
        for parameter in said.get("parameters", [])
        if parameter["in"] in ("path", "query")
    }
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    expected |= {(name, "body") for name in body.get("schema", {}).get("properties", {})}
    ours = {(parameter.name, str(parameter.place)) for parameter in operation.parameters}
    assert expected <= ours
    added = {(operation.name, name) for name, _ in ours - expected}
    assert added == {pair for pair in ADDITIONS if pair[0] == operation.name}
    assert str(operation.success) in said["responses"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_required_parameters_agree(
    description: dict[str, Any], operation: Operation[Any, Any]
) -> None:
    """What the service demands is demanded here, and nothing else."""
    said = described(description, operation)
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    required = set(body.get("schema", {}).get("required", []))
    required |= {p["name"] for p in said.get("parameters", []) if p.get("required")}
    assert {p.name for p in operation.parameters if p.required} == required


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """An account with every kind of key."""
    with Sandbox(keys=300) as box:
        box.assign_guardrail(EXAMPLE_HASH)
        yield box


REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("list", "/keys?include_disabled=true&include_expired=true", None),
    ("create", "/keys", {"name": "acme", "limit": 5, "expires_at": "2030-01-01T00:00:00Z"}),
    ("get", f"/keys/{EXAMPLE_HASH}", None),
    ("update", f"/keys/{EXAMPLE_HASH}", {"name": "renamed"}),
    ("get_current_key_metadata", "/key", None),
    ("list_workspaces", "/workspaces", None),
    ("get_workspace", "/workspaces/production", None),
    ("list_key_assignments", "/guardrails/assignments/keys", None),
    ("delete", f"/keys/{EXAMPLE_HASH}", None),
]


async def answer(
    box: Sandbox, operation: Operation[Any, Any], target: str, body: Any, key: str
) -> tuple[int, Any]:
    """Ask the sandbox without any client of ours; status and JSON."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(operation.method, box.url + target, json=body) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize(("name", "target", "body"), REQUESTS, ids=lambda value: str(value)[:24])
async def test_sandbox_answers_as_described(
    description: dict[str, Any], box: Sandbox, name: str, target: str, body: Any
) -> None:
    """Each answer validates against the schema of its status, the refusals too."""
    operation = next(row for row in OPERATIONS if row.name == name)
    responses = described(description, operation)["responses"]
    status, document = await answer(box, operation, target, body, box.management_key)
    assert status == operation.success
    jsonschema.validate(document, schema(description, responses[str(status)]))
    status, document = await answer(box, operation, target, body, "sk-or-v1-nobody")
    assert status == 401
    jsonschema.validate(document, schema(description, responses["401"]))


async def test_refusals_validate(description: dict[str, Any]) -> None:
    """429, 500, 400 and 404 have the described shape."""
    update = next(row for row in OPERATIONS if row.name == "update")
    responses = described(description, update)["responses"]
    known, unknown = f"/keys/{EXAMPLE_HASH}", f"/keys/{'0' * 64}"
    with Sandbox() as box:
        box.fail("update", status=429, retry_after=1)
        box.fail("update", status=500)
        for expected, target, body in [
            (429, known, {"name": "x"}),
            (500, known, {"name": "x"}),
            (400, known, {}),
            (404, unknown, {"name": "x"}),
        ]:
            status, document = await answer(box, update, target, body, box.management_key)
            assert status == expected
            jsonschema.validate(document, schema(description, responses[str(status)]))


def test_additional_fields_are_listed(description: dict[str, Any], box: Sandbox) -> None:
    """What our records have beyond the description is named above with its source."""
    with OpenRouter(box.management_key, server_url=box.url) as client:
        key = client.api_keys.list().data[0]
        current = client.api_keys.get_current_key_metadata().data
    for model, path in ((key, "/keys/{hash}"), (current, "/key")):
        said = description["paths"][path]["get"]["responses"]["200"]
        properties = said["content"]["application/json"]["schema"]["properties"]["data"][
            "properties"
        ]
        ours = {field.name for field in attrs.fields(type(model))}
        assert set(properties) <= ours
        assert ours - set(properties) <= ADDED_FIELDS.keys()
