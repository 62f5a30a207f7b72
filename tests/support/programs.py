"""Programs that tests run in Python's development mode."""


def complaints(stderr: str) -> str:
    """Return what a program wrote to stderr, without what asyncio tells of a loaded machine.

    In development mode it names every callback that took more than 0.1 seconds.
    """
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("Executing <"))
