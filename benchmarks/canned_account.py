"""An account of prebuilt responses, in a separate process, so that a walk measures the client.

`python -m benchmarks.canned_account KEYS LATENCY` prints its port and exits when its stdin ends.
"""

import asyncio
import json
import sys
from typing import Final
from urllib.parse import parse_qs, urlsplit

from benchmarks import samples

PAGE: Final = 100
SHARES: Final = (6, 1, 1, 1, 1)
"""Relative numbers of keys in the workspaces; the first is the default one."""


class Account:
    """Key records as JSON, newest first, by workspace."""

    def __init__(self, keys: int) -> None:
        record = json.loads(samples.one())["data"]
        self.workspaces = [f"0df9e665-d932-5740-b2c7-b52af166bc{n:02d}" for n in range(len(SHARES))]
        self.rows: dict[str, list[bytes]] = {}
        number = 0
        for workspace, share in zip(self.workspaces, SHARES, strict=True):
            rows = self.rows[workspace] = []
            for _ in range(keys * share // sum(SHARES)):
                number += 1
                record |= {"hash": f"{number:064x}", "name": f"key {number}"}
                record |= {"workspace_id": workspace}
                rows.append(json.dumps(record).encode())

    def response(self, target: str) -> bytes:
        """Return the response body for a request."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/workspaces"):
            listed = [{"id": id_, "name": f"Workspace {id_[-2:]}"} for id_ in self.workspaces]
            return json.dumps({"data": listed, "total_count": len(listed)}).encode()
        if parts.path.endswith("/key"):
            return samples.current()
        rows = self.rows[query.get("workspace_id", self.workspaces[0])]
        start = int(query.get("offset", 0))
        return b'{"data":[' + b",".join(rows[start : start + PAGE]) + b"]}"


async def converse(
    account: Account, latency: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Respond to the requests of one connection, each after the latency."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(latency)
            body = account.response(head.split(b" ", 2)[1].decode())
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until stdin ends."""
    account, latency = Account(int(sys.argv[1])), float(sys.argv[2])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(account, latency, reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
