"""`python -m benchmarks.walk`: speed and memory of an audit's walk through an account.

A canned account in a separate process responds to each page after `--latency` seconds. "Ideal" is
all pages, including the overlap of neighbours, divided by the number of concurrent requests.
"""

import argparse
import asyncio
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks import samples
from benchmarks.canned_account import SHARES
from openrouter_async import AsyncOpenRouter
from openrouter_async.audit import AuditRun
from openrouter_async.paging import OVERLAP

PAGE = 100
ROUNDS = 7


@asynccontextmanager
async def serving(keys: int, latency: float) -> AsyncIterator[tuple[str, str, list[int]]]:
    """Start a canned account and yield its URL, a key, and the number of keys per workspace."""
    command = [sys.executable, "-m", "benchmarks.canned_account", str(keys), str(latency)]
    process = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs on the loop yet
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = await asyncio.to_thread(process.stdout.readline)  # type: ignore[union-attr]
        sizes = [keys * share // sum(SHARES) for share in SHARES]
        yield f"http://127.0.0.1:{port.strip()}/api/v1", samples.API_KEY, sizes
    finally:
        process.communicate()


def pages_of(size: int) -> int:
    """Return the number of overlapping pages of a workspace."""
    return 1 if size < PAGE else 1 + math.ceil((size - PAGE + OVERLAP) / (PAGE - OVERLAP))


async def speed(keys: int, latency: float, concurrency: int) -> dict[str, object]:
    """Return the seconds of an audit, of the ideal, and of a loop with the official SDK."""
    async with (
        serving(keys, latency) as (url, key, sizes),
        AsyncOpenRouter(key, server_url=url) as client,
    ):
        await client.workspaces.list()  # so that the first round does not pay for imports
        rounds: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            report = await client.audit(concurrency=concurrency)
            rounds.append(time.perf_counter() - began)
        seconds = statistics.median(rounds)
        ideal = sum(map(pages_of, sizes)) / concurrency * latency
        official = await official_pages(url, key, list(report.workspaces))
        return {
            "keys": len(report.keys),
            "complete": report.complete,
            "pages": report.pages,
            "audit": seconds,
            "fastest and slowest round": [min(rounds), max(rounds)],
            "ideal": ideal,
            "audit / ideal": seconds / ideal,
            "official SDK, one page after another": official,
            "official / audit": official / seconds,
        }


async def official_pages(url: str, key: str, workspaces: list[str]) -> float:
    """Return the seconds of a plain loop over the same pages with the official SDK, else NaN."""
    try:
        from openrouter import OpenRouter
    except ModuleNotFoundError:
        return math.nan
    began = time.perf_counter()
    async with OpenRouter(api_key=key, server_url=url) as client:
        for workspace in workspaces:
            offset = 0
            while True:
                page = await client.api_keys.list_async(
                    workspace_id=workspace,
                    offset=offset,
                    include_disabled=True,
                    include_expired=True,
                )
                offset += len(page.data)
                if len(page.data) < PAGE:
                    break
    return time.perf_counter() - began


async def stream(keys: int) -> dict[str, float]:
    """Return the time and growth in resident memory of streaming all keys through an audit."""
    async with serving(keys, 0) as (url, key, _), AsyncOpenRouter(key, server_url=url) as client:
        run = AuditRun(client, keep=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        count = 0
        async for _ in run:
            count += 1
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "keys": count,
            "microseconds a key": seconds / count * 1e6,
            "MiB grown": (after - before) / 1024,
        }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per page")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--stream", type=int, nargs="*", default=[1_000, 10_000, 1_000_000])
    params = parser.parse_args()
    results: dict[str, object] = {
        "speed": asyncio.run(speed(params.keys, params.latency, params.concurrency)),
        "stream": [asyncio.run(stream(keys)) for keys in params.stream],
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
