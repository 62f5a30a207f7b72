"""The sandbox breaks on request, in the way and as often as it was asked to."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from openrouter_async.errors import InvalidRequestError
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

EXAMPLE = f"/keys/{EXAMPLE_HASH}"
Call = Callable[..., Coroutine[Any, Any, tuple[int, Any, bytes]]]


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox that holds nothing but the key of the official examples."""
    async with Sandbox() as box:
        yield box


@pytest.fixture
async def call(box: Sandbox) -> AsyncIterator[Call]:
    """Send one request, once: aiohttp would repeat some by itself."""

    async def send(method: str, path: str, **options: Any) -> tuple[int, Any, bytes]:
        headers = {"Authorization": f"Bearer {box.management_key}"}
        async with session.request(method, box.url + path, headers=headers, **options) as answer:
            return answer.status, answer.headers, await answer.read()

    async with aiohttp.ClientSession() as session:
        session._retry_connection = False
        yield send


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


async def create(call: Call) -> tuple[int, Any, bytes]:
    """Ask for a key by the name `a key`."""
    return await call("POST", "/keys", json={"name": "a key"})


async def test_a_status_in_the_services_shape(box: Sandbox, call: Call) -> None:
    """The next request fails, is not performed, and the one after it is."""
    box.fail("create", status=500)
    status, headers, body = await create(call)
    assert (status, headers["Content-Type"]) == (500, "application/json")
    assert json.loads(body)["error"] == {
        "code": 500, "message": "Internal Server Error", "metadata": {"error_type": "server"},
    }  # fmt: skip
    assert len(box.keys) == 1
    assert (await create(call))[0] == 201
    assert [request.status for request in box.requests] == [500, 201]


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 408, 409, 413, 418, 499, 502, 524, 529, 599]
)
async def test_any_failure_status(box: Sandbox, call: Call, status: int) -> None:
    """Every status from 400 to 599 can be had, known or not, with a code and a message."""
    box.fail("get", status=status)
    answered, _, body = await call("GET", EXAMPLE)
    error = json.loads(body)["error"]
    assert (answered, error["code"]) == (status, status)
    assert error["message"]


async def test_after_the_effect(box: Sandbox, call: Call) -> None:
    """The key is made or deleted, and the answer that says so is lost."""
    box.fail("create", status=500, after_effect=True)
    box.fail("delete", reset=True, after_effect=True)
    assert (await create(call))[0] == 500
    assert [key.name for key in box.keys] == ["a key", "My Production Key"]
    with pytest.raises(aiohttp.ClientError):
        await call("DELETE", EXAMPLE)
    assert [key.name for key in box.keys] == ["a key"]
    assert [(request.operation, request.status) for request in box.requests] == [
        ("create", 500), ("delete", None),
    ]  # fmt: skip


async def test_throttled(box: Sandbox, call: Call) -> None:
    """`retry_after` becomes the header, as a number of seconds or as any text."""
    values: list[float | str] = [2, 0.5, "inf", "Wed, 21 Oct 2026 07:28:00 GMT", ""]
    for value in values:
        box.fail("list", status=429, retry_after=value)
    seen = [(await call("GET", "/keys"))[:2] for _ in values]
    assert [(status, headers["Retry-After"]) for status, headers in seen] == [
        (429, f"{value}") for value in values
    ]
    assert (await call("GET", "/keys"))[0] == 200


@pytest.mark.parametrize(("fault", "status"), [({"status": 502}, 502), ({}, 200)])
async def test_html(box: Sandbox, call: Call, fault: dict[str, Any], status: int) -> None:
    """A proxy's page comes with the status that is asked for, alone with 200."""
    box.fail("list", html=True, **fault)
    answered, headers, body = await call("GET", "/keys")
    assert (answered, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")


async def test_reset(box: Sandbox) -> None:
    """The client sees a TCP reset, before any byte of an answer, and nothing was done."""
    box.fail("create", reset=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
    body = b'{"name":"a key"}'
    writer.write(
        b"POST /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
        % (box.management_key.encode(), len(body), body)
    )
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert len(box.keys) == 1


async def test_truncated(box: Sandbox) -> None:
    """The head promises the whole body, half of it comes, and the key exists."""
    box.fail("create", truncate=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
    body = b'{"name":"a key"}'
    writer.write(
        b"POST /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
        % (box.management_key.encode(), len(body), body)
    )
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert head.startswith(b"HTTP/1.1 201 ")
    assert len(rest) == promised // 2
    assert rest.startswith(b'{"data":{"hash":"')
    assert [key.name for key in box.keys] == ["a key", "My Production Key"]
    assert box.requests[-1].status is None


async def test_delay(box: Sandbox, call: Call) -> None:
    """A delayed answer is the true one, and the other operations are not held up."""
    box.fail("get", delay=0.5)
    started = time.monotonic()
    late = asyncio.create_task(call("GET", EXAMPLE))
    assert (await call("GET", "/keys"))[0] == 200
    assert not late.done()
    assert (await late)[0] == 200
    assert time.monotonic() - started >= 0.5


async def test_a_slow_service_goes_on_without_its_client(box: Sandbox, call: Call) -> None:
    """A create whose client gave up is performed nevertheless, as it would be in earnest."""
    box.fail("create", delay=0.2)
    late = asyncio.create_task(create(call))
    await until(lambda: len(box.requests) == 1)
    late.cancel()
    await until(lambda: len(box.keys) == 2)
    assert late.cancelled()
    assert [request.operation for request in box.requests] == ["create"]


@pytest.mark.parametrize("kind", ["reset", "truncate"])
async def test_a_fault_for_a_client_that_is_gone(box: Sandbox, call: Call, kind: str) -> None:
    """There is nobody left to be disturbed, and the sandbox is not either."""
    box.fail("create", delay=0.1, after_effect=True, **{kind: True})
    late = asyncio.create_task(create(call))
    await until(lambda: len(box.keys) == 2)
    late.cancel()
    await asyncio.sleep(0.15)
    assert (await call("GET", "/keys"))[0] == 200
    assert [request.status for request in box.requests] == [None, 200]


async def test_delay_before_a_failure(box: Sandbox, call: Call) -> None:
    """A delay goes with each other fault, and the effect comes before it if that is asked for."""
    box.fail("create", delay=0.4, status=503, after_effect=True)
    box.fail("create", delay=0.01, reset=True)
    late = asyncio.create_task(create(call))
    await until(lambda: len(box.keys) == 2)
    assert not late.done()
    assert (await late)[0] == 503
    with pytest.raises(aiohttp.ClientError):
        await create(call)
    assert len(box.keys) == 2


async def test_times_and_order(box: Sandbox, call: Call) -> None:
    """Faults come as often as they were asked for, first those that were asked for first."""
    box.fail("list", status=500, times=2)
    box.fail("*", status=502)
    box.fail("list", status=503)
    assert (await call("GET", "/workspaces"))[0] == 502
    seen = [(await call("GET", "/keys"))[0] for _ in range(4)]
    assert seen == [500, 500, 503, 200]


async def test_a_fault_strikes_whoever_asks(box: Sandbox, call: Call) -> None:
    """It stands in front of the service, so that even a request without a key uses it up."""
    box.fail("list", status=502)
    async with aiohttp.ClientSession() as session, session.get(f"{box.url}/keys") as answer:
        assert answer.status == 502
    assert (await call("GET", "/keys"))[0] == 200


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        ({"operation": "lists", "status": 500}, "operation"), ({"operation": "list"}, "status"),
        ({"status": 200}, "status"), ({"status": 600}, "status"), ({"status": "500"}, "status"),
        ({"status": True}, "status"), ({"delay": -1}, "delay"), ({"delay": float("nan")}, "delay"),
        ({"delay": "1"}, "delay"), ({"reset": 1}, "reset"), ({"html": "yes"}, "html"),
        ({"status": 500, "times": 0}, "times"), ({"status": 500, "times": 1.5}, "times"),
        ({"status": 500, "after_effect": None}, "after_effect"),
        ({"reset": True, "truncate": True}, "reset"), ({"reset": True, "status": 500}, "reset"),
        ({"truncate": True, "html": True}, "reset"), ({"retry_after": 1}, "status"),
        ({"delay": 1, "retry_after": 1}, "retry_after"),
        ({"status": 429, "retry_after": "1\r\nSet-Cookie: a"}, "retry_after"),
        ({"status": 429, "retry_after": b"1"}, "retry_after"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(
    box: Sandbox, call: Call, wrong: dict[str, Any], parameter: str
) -> None:
    """A wrong fault is refused by name where it is asked for, and strikes nobody."""
    with pytest.raises(InvalidRequestError) as caught:
        box.fail(**{"operation": "list", **wrong})
    assert caught.value.parameter == parameter
    assert (await call("GET", "/keys"))[0] == 200


async def test_requests_per_second() -> None:
    """Beyond the rate there is a 429 that says when to come again, and then it goes on."""
    async with (
        Sandbox(requests_per_second=5) as box,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {box.management_key}"}) as session,
    ):
        seen = []
        while 429 not in seen:
            async with session.get(f"{box.url}/keys") as answer:
                seen.append(answer.status)
                document, headers = await answer.json(), answer.headers
        assert seen[:5] == [200] * 5
        assert document["error"]["message"] == "Rate limit exceeded"
        assert document["error"]["metadata"] == {"error_type": "rate_limit_exceeded"}
        assert (headers["Retry-After"], headers["X-RateLimit-Limit"]) == ("1", "5")
        assert headers["X-RateLimit-Remaining"] == "0"
        assert abs(int(headers["X-RateLimit-Reset"]) / 1000 - time.time()) < 3
        while 429 in seen:
            async with session.get(f"{box.url}/keys") as answer:
                seen = [answer.status]
            await asyncio.sleep(0.01)
        assert seen == [200]
