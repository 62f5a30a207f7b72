"""An account of prebuilt responses, in a separate process, so that a walk measures the client.

`python -m benchmarks.canned_account KEYS` prints its port, serves until its stdin ends, and then
prints how many pages of keys were requested.
"""

import argparse
import asyncio
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

from benchmarks import samples

PAGE: Final = 100
SHARES: Final = (6, 1, 1, 1, 1)
"""Relative numbers of keys in the workspaces; the first is the default one."""


class Account:
    """Key records as JSON, newest first, by workspace."""

    def __init__(self, keys: int, shares: Sequence[int]) -> None:
        self.requests = 0
        record = json.loads(samples.one())["data"]
        self.workspaces = [f"0df9e665-d932-5740-b2c7-b52af166bc{n:02d}" for n in range(len(shares))]
        self.rows: dict[str, list[bytes]] = {}
        number = 0
        for workspace, share in zip(self.workspaces, shares, strict=True):
            rows = self.rows[workspace] = []
            for _ in range(keys * share // sum(shares)):
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
        self.requests += 1
        rows = self.rows[query.get("workspace_id", self.workspaces[0])]
        start = int(query.get("offset", 0))
        return b'{"data":[' + b",".join(rows[start : start + PAGE]) + b"]}"


async def converse(
    account: Account,
    latency: Callable[[], float],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Respond to the requests of one connection, each after a latency."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(latency())
            body = account.response(head.split(b" ", 2)[1].decode())
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", type=int)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a page, the median")
    parser.add_argument("--sigma", type=float, default=0.0, help="of its logarithm; 0: it is fixed")
    parser.add_argument("--one", action="store_true", help="one workspace has all the keys")
    params = parser.parse_args()
    account = Account(params.keys, (1,) if params.one else SHARES)
    chance = random.Random(0)  # the same latencies in each run

    def latency() -> float:
        return float(params.latency * math.exp(chance.gauss(0, params.sigma)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(account, latency, reader, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(account.requests)


if __name__ == "__main__":
    asyncio.run(main())
