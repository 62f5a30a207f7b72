"""Record changes to the files of a folder, and find those that a power cut could undo."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Event = tuple[str, str, bytes]
"""Kind (`write`, `sync`, `create`, `rename`, `remove` or `POST`), path and data of a change."""


class Disk:
    """Records this process's changes to files below a folder, and the requests between them.

    `requests` returns the number of requests so far; when one is sent, all earlier changes must be
    on the disk.
    """

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, requests: Callable[[], int]
    ) -> None:
        """Start recording."""
        self.events: list[Event] = []
        self._folder = folder
        self._requests = requests
        self._seen = requests()
        self._open: dict[int, Path] = {}
        for name in ("open", "write", "ftruncate", "fchmod", "fsync", "replace", "unlink", "mkdir"):
            patch.setattr(os, name, self._recorded(name, getattr(os, name)))

    def _recorded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*given: Any, **named: Any) -> Any:
            target = given[0]
            new = isinstance(target, int) or not Path(target).exists()
            done = real(*given, **named)
            path = self._open.get(target) if isinstance(target, int) else Path(target)
            if name == "open":
                self._open[done] = Path(target)
            if path is not None and path.is_relative_to(self._folder):
                self._note(name, path, given, new=new)
            return done

        return recorded

    def _note(self, name: str, path: Path, given: tuple[Any, ...], *, new: bool) -> None:
        for _ in range(self._requests() - self._seen):
            self.events.append(("POST", "", b""))
        self._seen = self._requests()
        shown = self._named(path)
        match name:
            case "open" | "mkdir":
                if new and (name == "mkdir" or given[1] & os.O_CREAT):
                    self.events.append(("create", shown, b""))
            case "write" | "ftruncate" | "fchmod":
                data = given[1] if name == "write" else b""
                self.events.append(("write", shown, data))
            case "fsync":
                self.events.append(("sync", shown, b""))
            case "replace":
                self.events.append(("rename", shown, self._named(Path(given[1])).encode()))
            case _ if not new:
                self.events.append(("remove", shown, b""))

    def _named(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def lost_by_a_power_cut(self) -> list[str]:
        """Return a description of each step taken before an earlier change was on the disk.

        All changes must be on the disk before a request, a rename, the end, and the next change to
        a journal. Names in a folder do not count for steps in the same folder, nor does the content
        of a file for its own next write or its removal.
        """
        unsynced: set[str] = set()
        lost: list[str] = []
        for what, where, data in [*self.events, ("the end", "", b"")]:
            folder = Path(where).parent.as_posix()
            if what == "sync":
                unsynced.discard(where)
                continue
            if what in ("POST", "rename", "the end") or "journal/" in where:
                mine = {folder} if where else set()
                if what in ("write", "remove"):
                    mine.add(where)
                lost += [f"{what} {where} {data!r}: {each}" for each in unsynced - mine]
            if what == "remove":
                unsynced.discard(where)
            if where:
                unsynced.add(where if what == "write" else folder)
        return lost
