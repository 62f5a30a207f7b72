"""Objects that start afresh in a forked child, which would otherwise share them with its parent."""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol


class Forgetful(Protocol):
    """An object with connections, threads or locks that a forked child must not use."""

    def forget(self) -> None:
        """Start afresh in the child, without touching what the parent is still using."""
        ...


_FORGETFUL: Final[weakref.WeakSet[Forgetful]] = weakref.WeakSet()


def forget_after_fork(thing: Forgetful) -> None:
    """Call `thing.forget()` in each child forked from now on, before any code of the child runs."""
    _FORGETFUL.add(thing)


def _forget_all() -> None:
    for thing in list(_FORGETFUL):
        thing.forget()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_all)
