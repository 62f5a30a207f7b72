"""Exceptions and the frames that they lead to, which lead back to the exceptions."""

from __future__ import annotations


def let_go(error: BaseException) -> None:
    """Drop the traceback of an exception that is over, and of all that hang on it.

    aiohttp and cattrs store exceptions where their own frames find them, and a frame keeps what it
    has read until the garbage collector comes.
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
