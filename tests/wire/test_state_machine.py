"""Keys on the server are those in the ledger, and those declared ambiguous: whatever happens.

A state machine of create, list, update, delete and rotate meets random faults of the sandbox.
`FUZZ_SECONDS=600 pytest tests/wire/test_state_machine.py` goes on for ten minutes.
"""

import os
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from openrouter_async import (
    AmbiguousCreateError,
    APIKey,
    NotFoundResponseError,
    OpenRouter,
    OpenRouterError,
    RetryConfig,
    RotationError,
)
from openrouter_async.provisioning import FileSink, State, unfinished
from openrouter_async.sandbox import Sandbox

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
NAME = "ledger"
FAULTS = st.fixed_dictionaries({
    "operation": st.sampled_from(
        ["create", "list", "get", "update", "delete", "get_current_key_metadata", "*"]
    ),
    "fault": st.sampled_from([
        {"status": 500}, {"status": 502}, {"status": 503}, {"status": 429}, {"status": 403},
        {"reset": True}, {"truncate": True}, {"html": True}, {"html": True, "status": 504},
    ]),
    "after_effect": st.booleans(),
    "times": st.integers(1, 4),
})  # fmt: skip


class Keys(RuleBasedStateMachine):
    """A ledger beside the server's keys."""

    hashes = Bundle("hashes")

    def __init__(self) -> None:
        super().__init__()
        self.box = Sandbox().start()
        quick = RetryConfig(initial_interval=0, max_interval=0)
        self.client = OpenRouter(self.box.management_key, server_url=self.box.url, retries=quick)
        self.keys = self.client.api_keys
        self.folder = Path(tempfile.mkdtemp())
        self.ledger: dict[str, float | None] = {}
        self.maybe_changed: set[str] = set()
        self.maybe_gone: set[str] = set()
        self.declared = 0
        self.sinks = 0

    def teardown(self) -> None:
        """Stop the server."""
        self.client.close()
        self.box.stop()
        shutil.rmtree(self.folder)

    @rule(given=FAULTS)
    def fault(self, given: dict[str, Any]) -> None:
        """Something will go wrong."""
        fault = dict(given["fault"])
        if fault.get("truncate") and given["after_effect"]:
            fault["after_effect"] = True
        elif "truncate" not in fault:
            fault["after_effect"] = given["after_effect"] and fault.get("status") != 429
        if fault.get("status") in (403, 429):  # these say that nothing was done
            fault["after_effect"] = False
        self.box.fail(given["operation"], times=given["times"], **fault)

    @rule(target=hashes, limit=st.none() | st.integers(0, 9))
    def create(self, limit: int | None) -> str:
        """Make a key, or learn that nobody knows."""
        try:
            made = self.keys.create(NAME, limit=limit)
        except AmbiguousCreateError:
            self.declared += 1
            return ""
        except OpenRouterError:
            return ""
        hash = self._newest().hash if made.problem else made.data.hash
        assert made.key == self.box.inference_key(hash)
        self.ledger[hash] = limit
        return hash

    @rule(hash=hashes, limit=st.none() | st.integers(0, 9))
    def update(self, hash: str, limit: int | None) -> None:
        """Change a key."""
        if hash not in self.ledger:
            return
        try:
            self.keys.update(hash, limit=limit)
        except NotFoundResponseError:
            assert hash in self.maybe_gone
        except OpenRouterError:
            self.maybe_changed.add(hash)
        else:
            self.ledger[hash] = limit
            self.maybe_changed.discard(hash)

    @rule(hash=consumes(hashes))
    def delete(self, hash: str) -> None:
        """Delete a key."""
        if hash not in self.ledger:
            return
        try:
            self.keys.delete(hash)
        except NotFoundResponseError:
            assert hash in self.maybe_gone
            self.ledger.pop(hash)
        except OpenRouterError:
            self.maybe_gone.add(hash)
        else:
            self.ledger.pop(hash)

    @rule(target=hashes, hash=consumes(hashes))
    def rotate(self, hash: str) -> str:
        """Replace a key; where that stops, go on once, then roll back or leave it to people."""
        if hash not in self.ledger or hash in self.maybe_gone:
            return ""
        journal = self.folder / "journal"
        self.sinks += 1
        for _ in range(2):
            try:
                done = self.keys.rotate(
                    hash,
                    sink=FileSink(self.folder / f"sink-{self.sinks}"),
                    journal_dir=journal,
                    verify_within=0,
                )
            except AmbiguousCreateError:
                self.declared += 1
                break
            except (RotationError, OpenRouterError):
                continue
            new = done.new.hash or self._newest().hash
            self.ledger[new] = self._server()[new].limit
            return new
        for item in unfinished(journal):
            assert item.state is not State.BUSY
            if item.old_hash == hash and item.state in (State.DELIVERED, State.UNDELIVERED):
                self.declared += 1  # it is in the journal, and perhaps the old one is disabled
        return ""

    @rule()
    def finish(self) -> None:
        """Delete what rotations left."""
        told = self.keys.finish_rotations(grace=timedelta(0), journal_dir=self.folder / "journal")
        for each in told:
            if each.outcome == "deleted":
                self.ledger.pop(each.old_hash, None)
            elif each.outcome == "failed":
                self.maybe_gone.add(each.old_hash)

    @rule()
    def listing(self) -> None:
        """What is listed is on the server."""
        try:
            listed = list(self.keys.iter(include_disabled=True))
        except OpenRouterError:
            return
        assert {key.hash for key in listed if key.name.startswith(NAME)} == set(self._server())

    @invariant()
    def ledger_and_server_agree(self) -> None:
        """No key is there that nobody knows of, and none is gone that nobody deleted."""
        server = self._server()
        unknown = server.keys() - self.ledger.keys()
        assert len(unknown) <= self.declared
        gone = self.ledger.keys() - server.keys()
        assert gone <= self.maybe_gone
        for hash, limit in self.ledger.items():
            if hash in server and hash not in self.maybe_changed:
                assert server[hash].limit == limit

    @invariant()
    def nothing_is_created_twice(self) -> None:
        """There are no more keys than creates that arrived."""
        creates = sum(request.operation == "create" for request in self.box.requests)
        assert len(self._server()) <= creates

    def _server(self) -> dict[str, APIKey]:
        return {key.hash: key for key in self.box.keys if key.name.startswith(NAME)}

    def _newest(self) -> APIKey:
        return next(iter(self._server().values()))


def test_ledger_and_server_agree() -> None:
    """Briefly here; for as long as FUZZ_SECONDS says in the session `fuzz`."""
    deadline = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or time.monotonic() < deadline:
        run_state_machine_as_test(
            Keys,
            settings=settings(
                max_examples=15 if SECONDS == 0 else 50,
                stateful_step_count=15 if SECONDS == 0 else 40,
                deadline=None,
                database=None,
                derandomize=SECONDS == 0,
                suppress_health_check=list(HealthCheck),
            ),
        )
        rounds += 1
