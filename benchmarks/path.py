"""`python -m benchmarks.path`: the functions and files that one `get` runs through, by cProfile.

Counted is the second call over an open connection: the package's own functions, their files, and
the calls from a function in one file to a function in another.
"""

import asyncio
import cProfile
import pstats
import sys
from pathlib import Path

import openrouter_async
from openrouter_async import AsyncOpenRouter
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

PACKAGE = Path(openrouter_async.__file__).parent


async def profile_get(box: Sandbox) -> cProfile.Profile:
    """Return the profile of one `get`."""
    async with AsyncOpenRouter(box.management_key, server_url=box.url) as client:
        await client.api_keys.get(EXAMPLE_HASH)
        with cProfile.Profile() as profile:
            await client.api_keys.get(EXAMPLE_HASH)
    return profile


def main() -> int:
    """Print the counts and the functions."""
    with Sandbox() as box:
        profile = asyncio.run(profile_get(box))
    # The types of the standard library do not show the attribute `stats`.
    stats = vars(pstats.Stats(profile))["stats"]
    ours = {
        function: callers
        for function, (*_, callers) in stats.items()
        if Path(function[0]).is_relative_to(PACKAGE)
        and not Path(function[0]).is_relative_to(PACKAGE / "sandbox")
    }
    files = {file for file, _, _ in ours}
    changes = sum(
        caller in ours and caller[0] != function[0]
        for function, callers in ours.items()
        for caller in callers
    )
    print(f"{len(files)} files, {len(ours)} functions, {changes} changes of file")
    for file, line, name in sorted(ours):
        print(f"{Path(file).relative_to(PACKAGE)}:{line} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
