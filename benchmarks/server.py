"""A canned server in a separate process; raw asyncio and prebuilt responses keep it cheap.

`python -m benchmarks.server` prints its port and exits when its stdin ends, and so with its parent.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks import samples

BASE: Final = b"/api/v1"


def response(status: str, body: bytes) -> bytes:
    """Return a whole response, head and body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


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
        close = self.close_always or b"connection: close" in head.lower()
        if self.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, self._write, chosen, close)
        else:
            self._write(chosen, close)

    def _write(self, data: bytes, close: bool) -> None:  # noqa: FBT001 - for call_later
        self._transport.write(data)
        if close:
            self._transport.close()


async def serve() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


@contextlib.contextmanager
def running(*options: str) -> Iterator[str]:
    """Start the server in a separate process and yield its base URL."""
    command = (sys.executable, "-m", "benchmarks.server", *options)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}{BASE.decode()}"
        finally:
            process.stdin.close()


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--fail-every", type=int, default=0, help="every n-th response is a 503")
    parser.add_argument("--close", action="store_true", help="no keep-alive")
    options = parser.parse_args()
    Canned.latency = options.latency
    Canned.fail_every = options.fail_every
    Canned.close_always = options.close
    asyncio.run(serve())


if __name__ == "__main__":
    main()
