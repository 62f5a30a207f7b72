"""What type checkers tell users. mypy and pyright read this file, nothing runs it.

An ignore comment here is an assertion: both checkers report one that silences nothing.
"""

from datetime import datetime
from typing import assert_type

from openrouter_async import (
    OMITTED,
    APIKey,
    AsyncOpenRouter,
    CallOptions,
    CreateKeysData,
    CreateKeysResponse,
    DeleteKeysResponse,
    GetCurrentKeyData,
    GetCurrentKeyResponse,
    GetKeyData,
    GetKeyResponse,
    InternalServerResponseError,
    LimitReset,
    ListData,
    ListResponse,
    OpenRouter,
    OpenRouterError,
    RetryConfig,
    Secret,
    UpdateKeysData,
    UpdateKeysResponse,
)
from openrouter_async.bulk import BulkRun, Outcome
from openrouter_async.provisioning import FileSink, ProvisionedKey, Rotation, Unfinished


async def safe_keys(client: AsyncOpenRouter, blocking: OpenRouter) -> None:
    keys, sink = client.api_keys, FileSink("acme.key")
    assert_type(await keys.provision("acme", sink=sink, limit=5), ProvisionedKey)
    assert_type(blocking.api_keys.provision("acme", sink=print), ProvisionedKey)
    assert_type(await keys.rotate("0" * 64, sink=sink), Rotation)
    assert_type(await keys.recover(), list[Unfinished])
    assert_type(keys.delete_many(["0" * 64]), BulkRun)
    assert_type(await keys.delete_many(["0" * 64]), list[Outcome])
    assert_type(blocking.api_keys.delete_many(["0" * 64]), list[Outcome])
    created = keys.create_many([{"name": "a"}], sink=lambda item: FileSink(f"{item['name']}.key"))
    assert_type(await created, list[Outcome])
    await keys.provision("acme", sink="acme.key")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await keys.provision("acme")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def returns(client: AsyncOpenRouter) -> None:
    keys = client.api_keys
    assert_type(await keys.list(), ListResponse)
    assert_type(await keys.create(name="acme"), CreateKeysResponse)
    assert_type(await keys.get(hash="0" * 64), GetKeyResponse)
    assert_type(await keys.update(hash="0" * 64, disabled=True), UpdateKeysResponse)
    assert_type(await keys.delete(hash="0" * 64), DeleteKeysResponse)
    assert_type(await keys.get_current_key_metadata(), GetCurrentKeyResponse)
    async for key in keys.iter():
        assert_type(key, APIKey)
    async for workspace in client.workspaces.iter():
        assert_type(workspace.id, str)
    async with AsyncOpenRouter(api_key="k") as opened:
        assert_type(opened, AsyncOpenRouter)
    assert_type(client.with_options(timeout=1), AsyncOpenRouter)


def returns_blocking(client: OpenRouter) -> None:
    keys = client.api_keys
    assert_type(keys.list(), ListResponse)
    assert_type(keys.create(name="acme"), CreateKeysResponse)
    assert_type(keys.get(hash="0" * 64), GetKeyResponse)
    assert_type(keys.update(hash="0" * 64, disabled=True), UpdateKeysResponse)
    assert_type(keys.delete(hash="0" * 64), DeleteKeysResponse)
    assert_type(keys.get_current_key_metadata(), GetCurrentKeyResponse)
    for key in keys.iter():
        assert_type(key, APIKey)
    for workspace in client.workspaces.iter():
        assert_type(workspace.id, str)
    with OpenRouter(api_key="k") as opened:
        assert_type(opened, OpenRouter)
    assert_type(client.with_options(timeout=1), OpenRouter)


def records(
    page: ListResponse, new: CreateKeysResponse, got: GetKeyResponse, current: GetCurrentKeyResponse
) -> None:
    assert_type(page.data, list[APIKey])
    assert_type(new.data, APIKey)
    assert_type(new.key, str)
    assert_type(new.secret, Secret)
    assert_type(new.secret.reveal(), str)
    assert_type(got.data.limit, float | None)
    assert_type(got.data.limit_reset, str | None)
    assert_type(got.data.created_at, datetime)
    assert_type(got.data.last_used_at, datetime | None)
    assert_type(got.data.spent_in_window, float | None)
    assert_type(got.data.is_active(), bool)
    assert_type(current.data, GetCurrentKeyData)
    got.data.name = "records are frozen"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def official_names(
    listed: ListData, created: CreateKeysData, got: GetKeyData, updated: UpdateKeysData
) -> list[APIKey]:
    return [listed, created, got, updated]


async def three_states(client: AsyncOpenRouter, blocking: OpenRouter) -> None:
    for limit in (OMITTED, None, 5, 0.5):
        await client.api_keys.update(hash="0" * 64, limit=limit)
        blocking.api_keys.update(hash="0" * 64, limit=limit)
    await client.api_keys.create("acme", limit=None, limit_reset=None, expires_at=None)
    await client.api_keys.create("acme", limit_reset=LimitReset.DAILY)
    await client.api_keys.create("acme", limit_reset="daily", expires_at="2030-01-01T00:00:00Z")
    await client.api_keys.create()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.api_keys.update(hash="0" * 64, limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def options(client: AsyncOpenRouter, blocking: OpenRouter) -> None:
    given: CallOptions = {"timeout": 1.5, "retries": None}
    await client.api_keys.list(**given)
    blocking.api_keys.list(**given)
    await client.api_keys.list(retries=RetryConfig(max_attempts=5), http_headers={"X-A": "b"})
    await client.api_keys.list(timeuot=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    blocking.api_keys.list(timeuot=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.with_options(timeuot=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.api_keys.list(timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def errors(error: OpenRouterError) -> None:
    assert_type(error.status_code, int | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.attempts, int)
    if isinstance(error, InternalServerResponseError):
        assert_type(error.message, str)
