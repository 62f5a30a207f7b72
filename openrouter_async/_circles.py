"""Reference cycles between exceptions and the frames in their tracebacks."""

from __future__ import annotations


def drop_tracebacks(error: BaseException) -> None:
    """Drop the tracebacks of a handled exception and of all exceptions linked to it.

    aiohttp and cattrs store exceptions in variables of their own frames. Such a cycle would keep
    response bodies in memory until the garbage collector runs.
    """
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or link.__traceback__ is None:
            continue
        link.__traceback__ = None
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
