"""The sandbox is a server like others: robust, for this machine only, quick to start and stop."""

import asyncio
import gc
import http.client
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from support.programs import complaints

from openrouter_async.errors import ConfigurationError
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox in a thread of its own."""
    with Sandbox() as box:
        yield box


def get(box: Sandbox, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Send a GET, as `send` does."""
    return send(box, "GET", path, **headers)


def send(box: Sandbox, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Send one plain request with the management key; give status, headers and document."""
    connection = http.client.HTTPConnection("127.0.0.1", box.port, timeout=10)
    headers = {"Authorization": f"Bearer {box.management_key}", **headers}
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, dict(answer.getheaders()), json.loads(body) if body else None
    finally:
        connection.close()


def exchange(box: Sandbox, request: bytes, *, leave: bool = False) -> bytes:
    """Send bytes, perhaps leave at once, and give what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", box.port), timeout=10) as sock:
        sock.sendall(request)
        if leave:
            sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65_536), b""))


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1", "/api/v1/", "/api/v1/keys/", "/keys", "/api/v1/keys/a/b", "/api/v1/key/",
     f"/api/v1/keys/{EXAMPLE_HASH}/", "/api/v1/credits", "/api/v1//keys", "/api/v2/keys"],
)  # fmt: skip
def test_unknown_paths(box: Sandbox, path: str) -> None:
    """What is no path of the service is a 404 in JSON, never a redirect."""
    status, _, document = get(box, path)
    assert (status, document) == (404, {"error": {"code": 404, "message": "Not Found"}})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/api/v1/keys", "GET,POST"), ("HEAD", "/api/v1/keys", "GET,POST"),
     ("POST", "/api/v1/key", "GET"), ("OPTIONS", "/api/v1/workspaces", "GET"),
     ("POST", f"/api/v1/keys/{EXAMPLE_HASH}", "DELETE,GET,PATCH")],
)  # fmt: skip
def test_unknown_methods(box: Sandbox, method: str, path: str, allowed: str) -> None:
    """A method that a path does not have is a 405 that names those it has."""
    status, headers, document = send(box, method, path)
    assert (status, headers["Allow"]) == (405, allowed)
    assert document is None or document["error"]["code"] == 405


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "localhost.:8080",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]",
        "[::1]:80",
    ],
)
def test_names_of_this_machine(box: Sandbox, host: str) -> None:
    """Every loopback name and address is served, with any port."""
    assert get(box, "/api/v1/keys", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "192.168.0.1", "0.0.0.0", "[::2]", "127.0.0.1@evil",
     "", "a b", "[", "localhost:80:80", "127.0.0.1.nip.io", "2130706433"],
)  # fmt: skip
def test_foreign_hosts(box: Sandbox, host: str) -> None:
    """A name of somewhere else, which a web page could point here, is refused."""
    status, _, document = get(box, "/api/v1/keys", Host=host)
    assert (status, document["error"]["code"]) == (421, 421)
    assert box.requests == []


def test_no_host() -> None:
    """A request that names no host is refused too."""
    with Sandbox() as box:
        assert b" 421 " in exchange(box, b"GET /api/v1/keys HTTP/1.0\r\n\r\n").splitlines()[0]


def test_loopback_only(box: Sandbox) -> None:
    """Nothing listens on the machine's other addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises((ConnectionRefusedError, TimeoutError)):
        socket.create_connection((address, box.port), timeout=2).close()


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n", b"GET /api/v1/keys HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-or-v1-planted\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"sk-or-v1-planted" * 1000 + b"\r\n\r\n",
        b"POST /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["words", "version", "control character", "long header", "length", "TLS"],
)  # fmt: skip
def test_what_is_no_http(box: Sandbox, caplog: pytest.LogCaptureFixture, request_: bytes) -> None:
    """It is refused, the server goes on, and no log quotes what came."""
    with caplog.at_level(logging.DEBUG):
        answer = exchange(box, request_)
    assert answer == b"" or b" 400 " in answer.splitlines()[0]
    assert "sk-or-v1-planted" not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert get(box, "/api/v1/keys")[0] == 200


def test_too_large_a_body(box: Sandbox) -> None:
    """A body beyond a mebibyte is a 413 in JSON."""
    body = b'{"name":"' + b"a" * 2**21 + b'"}'
    request = urllib.request.Request(
        f"{box.url}/keys", body, {"Content-Type": "application/json"}, method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request):
        pass
    with caught.value as answer:
        assert (answer.code, json.load(answer)["error"]["code"]) == (413, 413)


def test_a_client_that_goes_away(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A request that never arrives whole does nothing and disturbs nobody."""
    exchange(
        box,
        b"POST /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 16\r\n\r\n{"name":',
        leave=True,
    )
    assert get(box, "/api/v1/keys")[0] == 200
    assert [request.operation for request in box.requests] == ["list"]
    assert caplog.records == []


def test_a_bug_is_a_500(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the sandbox did not foresee is answered in JSON and logged without the key."""
    monkeypatch.setattr(box._service.account, "page", None)
    status, _, document = get(box, "/api/v1/keys")
    assert (status, document["error"]["code"]) == (500, 500)
    assert "the sandbox failed" in caplog.text
    assert box.management_key not in caplog.text


def test_a_port_in_use() -> None:
    """It is one clear error, blocking and async, and does not leave anything behind."""
    with Sandbox() as box:
        expected = f"port {box.port} of 127.0.0.1 cannot be opened: .*in use"
        other = Sandbox(port=box.port)
        with pytest.raises(ConfigurationError, match=expected) as caught:
            other.start()
        assert caught.value.__cause__ is caught.value.__context__ is None

        async def enter() -> None:
            async with other:
                pass

        with pytest.raises(ConfigurationError, match=expected):
            asyncio.run(enter())
        assert repr(other) == "<Sandbox stopped>"
        port = box.port
    with other:
        assert other.port == port


def test_start_and_stop() -> None:
    """It can be stopped twice and started again; the account stays; twice at once is refused."""
    box = Sandbox()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = box.url
    box.stop()
    assert box.start() is box
    assert repr(box) == f"<Sandbox {box.url}>"
    assert box.url == f"http://127.0.0.1:{box.port}/api/v1"
    with pytest.raises(ConfigurationError, match="already running"):
        box.start()
    send(box, "DELETE", f"/api/v1/keys/{EXAMPLE_HASH}")
    box.stop()
    box.stop()
    with box:
        assert get(box, "/api/v1/keys")[2] == {"data": []}


async def test_it_runs_on_the_running_loop() -> None:
    """The async form has no thread, and the blocking one may be used where a loop runs."""
    before = threading.active_count()
    async with Sandbox() as box:
        assert threading.active_count() == before
        async with aiohttp.ClientSession() as session, session.get(f"{box.url}/key") as answer:
            assert answer.status == 401
    with pytest.raises(ConfigurationError, match="not running"):
        _ = box.url
    with Sandbox() as box:
        async with aiohttp.ClientSession() as session, session.get(f"{box.url}/key") as answer:
            assert answer.status == 401


async def test_stopping_is_prompt() -> None:
    """Idle connections, unfinished requests and delayed answers do not hold it up."""
    box = Sandbox()
    await box.__aenter__()
    box.fail("list", delay=60)
    headers = {"Authorization": f"Bearer {box.management_key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{box.url}/key") as answer:
            assert answer.status == 200
        late = asyncio.create_task(session.get(f"{box.url}/keys"))
        _, half = await asyncio.open_connection("127.0.0.1", box.port)
        half.write(b"POST /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        while not box.requests:
            await asyncio.sleep(0.001)
        started = time.monotonic()
        await box.__aexit__(None, None, None)
        assert time.monotonic() - started < 15
        with pytest.raises(aiohttp.ClientError):
            await late
        half.close()
    assert len(asyncio.all_tasks()) == 1
    gc.collect()


def test_many_threads(box: Sandbox) -> None:
    """Parallel writes and looks from threads keep the account whole."""

    def work(number: int) -> None:
        body = json.dumps({"name": f"key {number}"}).encode()
        headers = {
            "Authorization": f"Bearer {box.management_key}", "Content-Type": "application/json",
        }  # fmt: skip
        request = urllib.request.Request(f"{box.url}/keys", body, headers)
        with urllib.request.urlopen(request) as answer:
            record = json.load(answer)["data"]
        box.spend(record["hash"], number)
        assert len(box.keys) > 1
        if number % 2:
            send(box, "DELETE", f"/api/v1/keys/{record['hash']}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(100)))
    assert {key.name: key.usage for key in box.keys} == {
        "My Production Key": 25.5, **{f"key {number}": number for number in range(0, 100, 2)},
    }  # fmt: skip


async def test_ten_thousand_keys_in_a_hundred_pages() -> None:
    """A walk by offset over a large account finds each key once, in the account's order."""
    async with Sandbox(10_000) as box:
        headers = {"Authorization": f"Bearer {box.management_key}"}
        query = "include_disabled=true&include_expired=true"
        seen = []
        async with aiohttp.ClientSession(headers=headers) as session:
            for workspace in box.workspaces:
                page = [""] * 100
                offset = 0
                while len(page) == 100:
                    url = f"{box.url}/keys?{query}&workspace_id={workspace.id}&offset={offset}"
                    async with session.get(url) as answer:
                        page = [key["hash"] for key in (await answer.json())["data"]]
                    seen += page
                    offset += 100
        assert sorted(seen) == sorted(key.hash for key in box.keys)


@pytest.mark.parametrize("ending", ["", "box.stop()", "1 / 0", "box.stop(); box.start()"])
def test_exit_is_clean(ending: str) -> None:
    """A program that forgets to stop its sandbox ends at once and warns of nothing."""
    program = (
        "import urllib.request\n"
        "from openrouter_async.sandbox import Sandbox\n"
        "box = Sandbox().start()\n"
        "headers = {'Authorization': 'Bearer ' + box.management_key}\n"
        "request = urllib.request.Request(box.url + '/key', headers=headers)\n"
        "urllib.request.urlopen(request).close()\n"
        "box.fail('list', delay=60)\n"
        f"{ending}\n"
    )
    # aiohttp 3.14.1 warns of itself when it is run so; newer ones do not.
    options = ["-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning:aiohttp.web_request"]
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == (1 if "1 / 0" in ending else 0)
    told = complaints(done.stderr)
    assert not told or told.endswith("division by zero\n")
    assert "Warning" not in done.stderr
