"""A canned server in a separate process; raw asyncio and prebuilt responses keep it cheap.

`python -m benchmarks.server` prints one line of JSON, its port and its certificate authority, and
exits when its stdin ends, and so with its parent.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

from benchmarks import certificates, samples

Kind = Literal["plain", "failing", "tls", "gzip"]
OPTIONS: Final[dict[Kind, tuple[str, ...]]] = {
    "plain": (),
    "failing": ("--fail-every", "100"),
    "tls": ("--tls",),
    "gzip": ("--gzip",),
}
"""The kinds of servers that the benchmarks use."""
BASE: Final = b"/api/v1"


def response(status: str, body: bytes) -> bytes:
    """Return a whole response, head and body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@cache
def compressed(plain: bytes) -> bytes:
    """Return a whole response with its body compressed by gzip."""
    head, _, body = plain.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].partition(b" ")[2].decode()
    return response(f"{status}\r\nContent-Encoding: gzip", gzip.compress(body, mtime=0))


LIST: Final = response("200 OK", samples.page())
GET: Final = response("200 OK", samples.one())
GET_HASH: Final = samples.HASH_OF_ONE
CURRENT: Final = response("200 OK", samples.current())
CREATED: Final = response("201 Created", samples.created())
MISSING: Final = response("404 Not Found", b'{"error":{"code":404,"message":"No such path"}}')
FAILED: Final = response("503 Service Unavailable", b'{"error":{"code":503,"message":"Busy"}}')


def choose(method: bytes, target: bytes) -> bytes:
    """Return the response to a request line."""
    path = target.partition(b"?")[0]
    if method == b"POST" and path == BASE + b"/keys":
        return CREATED
    if method == b"GET" and path == BASE + b"/keys":
        return LIST
    if method == b"GET" and path.startswith(BASE + b"/keys/"):
        return GET.replace(GET_HASH, path.rpartition(b"/")[2], 1)
    if method == b"GET" and path == BASE + b"/key":
        return CURRENT
    return MISSING


def body_length(head: bytes) -> int:
    """Return the length of the body that follows a request head."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class Canned(asyncio.Protocol):
    """One connection."""

    requests = 0
    latency = 0.0
    fail_every = 0
    close_always = False
    gzip = False

    def __init__(self) -> None:
        """Start with nothing read."""
        self._unread = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to every complete request."""
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end]
            whole = end + 4 + body_length(head)
            if len(self._unread) < whole:
                return
            self._unread = self._unread[whole:]
            self._respond(head)

    def _respond(self, head: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        Canned.requests += 1
        failed = self.fail_every and Canned.requests % self.fail_every == 0
        chosen = FAILED if failed else choose(method, target)
        headers = head.lower()
        if self.gzip and b"gzip" in headers.partition(b"\r\naccept-encoding:")[2].split(b"\r\n")[0]:
            chosen = compressed(chosen)
        close = self.close_always or b"connection: close" in headers
        if self.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, self._write, chosen, close)
        else:
            self._write(chosen, close)

    def _write(self, data: bytes, close: bool) -> None:  # noqa: FBT001 - for call_later
        self._transport.write(data)
        if close:
            self._transport.close()


async def serve(*, tls: bool) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    context, authority = certificates.server_side() if tls else (None, None)
    server = await loop.create_server(Canned, "127.0.0.1", 0, ssl=context, backlog=1024)
    address = {"port": server.sockets[0].getsockname()[1], "authority": authority}
    print(json.dumps(address), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


@contextlib.contextmanager
def running(kind: Kind) -> Iterator[str]:
    """Start a server in a separate process and yield its base URL."""
    command = (sys.executable, "-m", "benchmarks.server", *OPTIONS[kind])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                message = f"the {kind} server did not start; its error is above"
                raise RuntimeError(message)
            address = json.loads(line)
            if address["authority"]:
                os.environ[certificates.VARIABLE] = address["authority"]
            scheme = "https" if address["authority"] else "http"
            yield f"{scheme}://127.0.0.1:{address['port']}{BASE.decode()}"
        finally:
            process.stdin.close()


class Servers(contextlib.ExitStack):
    """The canned servers; each is started when it is first needed."""

    def __init__(self) -> None:
        """Start without any."""
        super().__init__()
        self._urls: dict[Kind, str] = {}

    def url(self, kind: Kind) -> str:
        """Return the base URL of a server."""
        if kind not in self._urls:
            self._urls[kind] = self.enter_context(running(kind))
        return self._urls[kind]


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--fail-every", type=int, default=0, help="every n-th response is a 503")
    parser.add_argument("--close", action="store_true", help="no keep-alive")
    parser.add_argument("--tls", action="store_true", help="HTTPS")
    parser.add_argument("--gzip", action="store_true", help="compress for clients that accept it")
    options = parser.parse_args()
    Canned.latency = options.latency
    Canned.fail_every = options.fail_every
    Canned.close_always = options.close
    Canned.gzip = options.gzip
    asyncio.run(serve(tls=options.tls))


if __name__ == "__main__":
    main()
