"""`python -m benchmarks.walk`: speed, memory and number of requests of walks through an account.

A canned account in a separate process responds to each page after a latency, fixed or log-normal.
"Ideal" is all pages, including the overlap of neighbours, divided by the number of concurrent
requests, times the mean latency.
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

import attrs

from benchmarks import samples
from benchmarks.canned_account import SHARES
from openrouter_async import AsyncOpenRouter
from openrouter_async._prefetch import OVERLAP
from openrouter_async.audit import AuditRun

PAGE = 100
ROUNDS = 7
SIGMA = 0.6
COUNTS = (90, 250, 1_000, 10_000)


@attrs.define
class Account:
    """A canned account in another process."""

    url: str
    sizes: list[int]
    """How many keys each workspace has."""
    requests: int = 0
    """Pages of keys that were requested; known at the end."""


@asynccontextmanager
async def serving(
    keys: int, latency: float, *, sigma: float = 0.0, one: bool = False
) -> AsyncIterator[tuple[Account, AsyncOpenRouter]]:
    """Start a canned account and open a client for it."""
    command = [sys.executable, "-m", "benchmarks.canned_account", str(keys)]
    command += [f"--latency={latency}", f"--sigma={sigma}", *(["--one"] if one else [])]
    process = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs on the loop yet
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    sizes = [keys] if one else [keys * share // sum(SHARES) for share in SHARES]
    try:
        port = await asyncio.to_thread(process.stdout.readline)  # type: ignore[union-attr]  # it is a pipe
        account = Account(f"http://127.0.0.1:{port.strip()}/api/v1", sizes)
        async with AsyncOpenRouter(samples.API_KEY, server_url=account.url) as client:
            await client.workspaces.list()  # loads what a first call loads
            yield account, client
    finally:
        counted, _ = process.communicate()
    account.requests = int(counted)


def pages_of(size: int) -> int:
    """Return the number of overlapping pages of a workspace."""
    return 1 if size < PAGE else 1 + math.ceil((size - PAGE + OVERLAP) / (PAGE - OVERLAP))


async def speed(keys: int, latency: float, concurrency: int) -> dict[str, object]:
    """Return the seconds of an audit, of the ideal, and of a loop with the official SDK."""
    async with serving(keys, latency) as (account, client):
        rounds: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            report = await client.audit(concurrency=concurrency)
            rounds.append(time.perf_counter() - began)
        seconds = statistics.median(rounds)
        ideal = sum(map(pages_of, account.sizes)) / concurrency * latency
        official = await official_pages(account.url, samples.API_KEY, list(report.workspaces))
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


async def iteration(keys: int, latency: float, sigma: float, concurrency: int) -> dict[str, object]:
    """Return the seconds of a plain `async for` over one workspace, and of the ideal."""
    async with serving(keys, latency, sigma=sigma, one=True) as (account, client):
        began, cpu = time.perf_counter(), time.process_time()
        walk = client.api_keys.iter(concurrency=concurrency)
        count = 0
        async for _ in walk:
            count += 1
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    ideal = pages_of(keys) / concurrency * latency * math.exp(sigma**2 / 2)
    return {
        "keys": count,
        "complete": walk.complete,
        "latency": f"log-normal, sigma {sigma}" if sigma else "fixed",
        "concurrency": concurrency,
        "seconds": seconds,
        "seconds / ideal": seconds / ideal,
        "CPU of the client": cpu,
        "requests": account.requests,
        "pages": pages_of(keys),
    }


async def stream(keys: int) -> dict[str, float]:
    """Return the time and growth in resident memory of streaming all keys through an audit."""
    async with serving(keys, 0) as (_, client):
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
    parser.add_argument("--long", type=int, default=100_000, help="keys of the longest iteration")
    params = parser.parse_args()
    walks = [(keys, 0.0) for keys in COUNTS] + [(params.keys, SIGMA)]
    walks += [(params.long, 0.0), (params.long, SIGMA)]
    results: dict[str, object] = {
        "speed": asyncio.run(speed(params.keys, params.latency, params.concurrency)),
        "iteration": [
            asyncio.run(iteration(keys, params.latency, sigma, params.concurrency))
            for keys, sigma in walks
        ],
        "stream": [asyncio.run(stream(keys)) for keys in params.stream],
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
