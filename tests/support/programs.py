"""Help with programs that tests run in Python's development mode."""


def complaints(stderr: str) -> str:
    """Return a program's stderr without asyncio's warnings about slow callbacks.

    In development mode asyncio reports every callback that takes more than 0.1 seconds, which
    happens on a loaded machine.
    """
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("Executing <"))
