"""The soak: many callers for minutes, 2 % of mixed faults, and a table of what was measured.

    python tests/soak/soak.py [--callers 200] [--minutes 5] [--faults 0.02] [--seed 1]
                              [--plant double-create | lost-key]

The sandbox, which makes the faults too, is a process of its own, so that memory and descriptors are
the client's. It fails on a wrong result, on a key that is gone or that
nothing accounts for, and where memory, descriptors or tasks grow after the first minute. `--plant`
makes one such key, to prove that it is found.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO

from openrouter_async import (
    AmbiguousCreateError,
    AsyncOpenRouter,
    NotFoundResponseError,
    OpenRouterError,
    RetryConfig,
)

SANDBOX = """
import random, sys
from openrouter_async.sandbox import Sandbox
KINDS = (
    {"reset": True}, {"reset": True, "after_effect": True}, {"truncate": True},
    {"status": 503}, {"status": 502, "after_effect": True}, {"delay": 0.2}, {"delay": 4.0},
)
dice = random.Random(sys.argv[1])
with Sandbox(keys=200) as box:
    print(box.url, box.management_key, flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            box.fail("*", **dice.choice(KINDS))
"""
"""For each number on its standard input it plans this many faults: responses lost before and after
the request took effect, errors, late responses, and some that are later than the client waits."""


class Soak:
    """What all callers share: one client, and what they count."""

    def __init__(self, client: AsyncOpenRouter, direct: AsyncOpenRouter, plant: str | None) -> None:
        self.keys = client.api_keys
        self.direct = direct.api_keys
        """For changes behind a caller's back, and for the check at the end."""
        self.plant = plant
        """The fault of ours that is still to be made."""
        self.calls = 0
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.ambiguous: set[str] = set()
        """Names of creates that may have made a key; no name is used twice."""
        self.undeleted: set[str] = set()
        """Hashes of keys whose deletion failed, so that they may exist or not."""
        self.gone: set[str] = set()
        """Hashes of keys that their only owner did not find, though it had not deleted them."""
        self.creates = 0

    async def caller(self, number: int, until: float, dice: random.Random) -> None:
        """Own one key at a time: create it, read it, change it, delete it."""
        while time.monotonic() < until:
            hash = await self.create(number)
            for _ in range(dice.randrange(3, 12)):
                if hash is None:
                    break
                await self.read_and_change(hash, dice)
            if hash is not None:
                deleted = await self.call(self.keys.delete(hash), hash)
                if isinstance(deleted, OpenRouterError):
                    self.undeleted.add(hash)

    async def call(self, work: object, hash: str | None = None) -> object:
        """Make one call; an error of ours is counted, anything else is a bug.

        The key with the `hash` is the caller's own: that there is none is wrong.
        """
        self.calls += 1
        try:
            return await work  # type: ignore[misc]
        except OpenRouterError as error:
            self.errors[type(error).__name__.lstrip("_")] += 1
            if hash is not None and isinstance(error, NotFoundResponseError):
                self.gone.add(hash)
            return error

    async def create(self, number: int) -> str | None:
        """Create a key and keep count of it."""
        self.creates += 1
        name = f"caller {number}, create {self.creates}"
        answer = await self.call(self.keys.create(name, limit=1))
        if isinstance(answer, AmbiguousCreateError):
            self.ambiguous.add(name)
        hash = getattr(getattr(answer, "data", None), "hash", None)
        if hash is not None and self.plant is not None:
            plant, self.plant = self.plant, None
            if plant == "double-create":
                await self.direct.create(name, limit=1)
            else:
                await self.direct.delete(hash)
        return hash

    async def read_and_change(self, hash: str, dice: random.Random) -> None:
        """Set a limit and read it back: nobody else changes this key."""
        limit = dice.randrange(1, 1000)
        changed = await self.call(self.keys.update(hash, limit=limit), hash)
        if isinstance(changed, OpenRouterError):
            return
        got = await self.call(self.keys.get(hash), hash)
        if not isinstance(got, OpenRouterError) and got.data.limit != limit:  # type: ignore[attr-defined]
            self.wrong.append(f"{hash}: {limit} was set, {got.data.limit} was read")  # type: ignore[attr-defined]


def memory() -> float:
    """The resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Faults:
    """Requests faults from the sandbox, for a share of all calls."""

    def __init__(self, share: float, to: IO[str]) -> None:
        self.share = share
        self.requested = 0
        self._to = to

    async def keep_up(self, soak: Soak) -> None:
        """Request as many as are due, ten times a second."""
        while True:
            due = int(soak.calls * self.share) - self.requested
            self.requested += due
            self._to.write(f"{due}\n")
            self._to.flush()
            await asyncio.sleep(0.1)


def row(minute: float, soak: Soak, faults: int) -> tuple[float, int, int]:
    """Print and give memory, descriptors and tasks."""
    found = (memory(), len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()))  # noqa: PTH208
    counts = f"{soak.calls:>9,} {sum(soak.errors.values()):>7,} {faults:>7,}"
    print(f"{minute:>6.1f} {counts} {found[0]:>8.1f} {found[1]:>6} {found[2]:>6}", flush=True)
    return found


async def measure(
    url: str, key: str, to_sandbox: IO[str], options: argparse.Namespace
) -> list[str]:
    """Run it, print the table, and give what is wrong."""
    rows: list[tuple[float, int, int]] = []
    retries = RetryConfig(initial_interval=0.05, max_interval=0.5)
    async with (
        AsyncOpenRouter(
            key, server_url=url, timeout=2, total_timeout=15, retries=retries
        ) as client,
        AsyncOpenRouter(key, server_url=url) as direct,
    ):
        soak = Soak(client, direct, options.plant)
        faults = Faults(options.faults, to_sandbox)
        asking = asyncio.create_task(faults.keep_up(soak))
        began = time.monotonic()
        until = began + options.minutes * 60
        print("minute     calls  errors  faults   MiB   descr.  tasks")
        callers = [
            asyncio.create_task(soak.caller(n, until, random.Random(f"{options.seed} {n}")))
            for n in range(options.callers)
        ]
        step = min(60.0, options.minutes * 20)
        while time.monotonic() < until:
            await asyncio.sleep(min(step, max(0.01, until - time.monotonic())))
            rows.append(row((time.monotonic() - began) / 60, soak, faults.requested))
        await asyncio.gather(*callers)
        asking.cancel()
        wrong = [*soak.wrong, *await unaccounted(soak)]
        print("errors:", dict(soak.errors.most_common()))
    return wrong + grown(rows)


async def unaccounted(soak: Soak) -> list[str]:
    """Return what is wrong with the keys that are left on the server.

    Callers have deleted what they made. One key may be left of each create that was declared
    ambiguous, and one of each deletion that failed; nothing else.
    """
    walk = soak.direct.iter(include_disabled=True, include_expired=True)
    left = [key async for key in walk if key.name.startswith("caller ")]
    wrong = [] if walk.complete else ["the list of keys that are left is not complete"]
    wrong += [f"key {hash} is gone, and nobody deleted it" for hash in sorted(soak.gone)]
    unused = set(soak.ambiguous)
    for key in left:
        if key.hash in soak.undeleted:
            continue
        if key.name not in unused:
            wrong.append(f"key {key.hash} ({key.name}) exists, and nothing accounts for it")
        unused.discard(key.name)
    print(
        f"creates: {soak.creates:,}, ambiguous {len(soak.ambiguous)}, of which "
        f"{len(soak.ambiguous) - len(unused)} made a key; failed deletes {len(soak.undeleted)}; "
        f"keys left {len(left)}"
    )
    return wrong


def grown(rows: list[tuple[float, int, int]]) -> list[str]:
    """Describe what grew after the first minute."""
    if len(rows) < 3:
        return []
    first, last = rows[0], rows[-1]
    allowed = (first[0] * 1.25 + 10, first[1] + 60, first[2] + 60)
    names = ("memory (MiB)", "descriptors", "tasks")
    return [
        f"{name} grew from {a:.0f} to {b:.0f}"
        for name, a, b, most in zip(names, first, last, allowed, strict=True)
        if b > most
    ]


def main() -> int:
    """Start the sandbox, run, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--faults", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=["double-create", "lost-key"])
    options = parser.parse_args()
    command = [sys.executable, "-c", SANDBOX, str(options.seed)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sandbox:
        assert sandbox.stdin is not None
        assert sandbox.stdout is not None
        url, key = sandbox.stdout.readline().split()
        wrong = asyncio.run(measure(url, key, sandbox.stdin, options))
        sandbox.stdin.close()
    for each in wrong[:20]:
        print("WRONG:", each)
    print("passed" if not wrong else f"failed: {len(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
