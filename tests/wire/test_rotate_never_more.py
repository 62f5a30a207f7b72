"""A rotation's new key never has more than the old one had: money, guardrails, people."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.calls import ASSIGNMENT, CURRENT_KEY, HASH, NEW_KEY, ClientFor, problem, record
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Step, html, reply, reset
from support.wire import Request

from openrouter_async import APIKey, AsyncOpenRouter, InvalidRequestError, OpenRouter, RotationError
from openrouter_async.provisioning import (
    FileSink,
    Outcome,
    ProvisionedKey,
    Rotation,
    State,
    unfinished,
)
from openrouter_async.sandbox import Sandbox

Rotate = Callable[..., Any]
OTHER = "user_2someoneElse0000000000000"


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox of one's own."""
    async with Sandbox() as box:
        yield box


class Account:
    """A client of the sandbox that rotates into a file, and what the sandbox says."""

    def __init__(self, box: Sandbox, client_for: ClientFor, folder: Path, clock: FakeClock) -> None:
        self.box = box
        self.at_attempt: Callable[[str, int], None] = lambda operation, number: None
        self.folder = folder
        self._numbers: dict[str, int] = {}
        self.client: AsyncOpenRouter = client_for(
            box.url, api_key=box.management_key, clock=clock, on_attempt=self._told
        )
        self.keys = self.client.api_keys

    def _told(self, operation: str, *_: object) -> None:
        self._numbers[operation] = self._numbers.get(operation, 0) + 1
        self.at_attempt(operation, self._numbers[operation])

    async def rotate(self, old: APIKey, **given: Any) -> Rotation:
        """Rotate a key."""
        sink = given.pop("sink", None) or FileSink(self.folder / "new.key", replace=True)
        return await self.keys.rotate(
            old.hash, sink=sink, journal_dir=self.folder / "journal", **given
        )

    def key(self, hash: str | None) -> APIKey:
        """The key as it is."""
        return next(key for key in self.box.keys if key.hash == hash)

    @property
    def changes(self) -> list[str]:
        """What was changed, in order, without the first create."""
        names = [request.operation for request in self.box.requests]
        return [name for name in names if name in {"create", "update", "delete"}][1:]


@pytest.fixture
def account(box: Sandbox, client_for: ClientFor, tmp_path: Path, clock: FakeClock) -> Account:
    """The account of the sandbox."""
    return Account(box, client_for, tmp_path, clock)


# Limits that never reset


async def test_a_lifetime_cap_is_not_renewed(account: Account) -> None:
    """The new key gets what is left, and the result says so."""
    old = (await account.keys.create("acme", limit=1000)).data
    account.box.spend(old.hash, 563.39)
    done = await account.rotate(old)
    assert (done.limit, done.old_limit) == (436.61, 1000)
    new = account.key(done.new.hash)
    assert (new.limit, new.limit_remaining, new.limit_reset) == (436.61, 436.61, None)
    assert account.changes == ["create", "update"]


@pytest.mark.parametrize("left", [4.0, 7.0])
async def test_byok_counts_where_it_counted(account: Account, left: float) -> None:
    """What is left is what the limit is about."""
    include_byok = left == 4
    made = await account.keys.create("acme", limit=10, include_byok_in_limit=include_byok)
    account.box.spend(made.data.hash, 3)
    account.box.spend(made.data.hash, 3, byok=True)
    done = await account.rotate(made.data)
    new = account.key(done.new.hash)
    assert (new.limit, new.include_byok_in_limit) == (left, include_byok)


@pytest.mark.parametrize("spent", [10, 12.5, 10 - 1e-7])
async def test_an_exhausted_key_is_refused(account: Account, spent: float) -> None:
    """Nothing is left for its successor, up to what money can be; nothing is made."""
    old = (await account.keys.create("acme", limit=10)).data
    account.box.spend(old.hash, spent)
    with pytest.raises(RotationError, match="exhausted"):
        await account.rotate(old)
    assert account.changes == []
    assert unfinished(account.folder / "journal") == []


@pytest.mark.parametrize("what", ["disabled", "exhausted"])
async def test_a_key_that_ended_while_guardrails_were_read(account: Account, what: str) -> None:
    """Its record is read last: what the new key gets is what the old one has by then."""
    old = (await account.keys.create("acme", limit=10)).data

    def end(operation: str, _: int) -> None:
        if operation == "list_key_assignments" and what == "exhausted":
            account.box.spend(old.hash, 10)
        elif operation == "list_key_assignments":
            account.box._service.account.update(hash=old.hash, disabled=True)

    account.at_attempt = end
    with pytest.raises(RotationError, match=what):
        await account.rotate(old)
    assert account.changes == []


async def test_what_is_spent_during_the_rotation(account: Account) -> None:
    """The old key spends until it is disabled: so much less has the new one."""
    old = (await account.keys.create("acme", limit=10)).data

    def spend(operation: str, number: int) -> None:
        if (operation, number) == ("create", 2):
            account.box.spend(old.hash, 2.25)
        if (operation, number) == ("update", 1):
            account.box.spend(old.hash, 0.5)

    account.at_attempt = spend
    done = await account.rotate(old)
    assert account.key(old.hash).limit_remaining == 7.25
    assert (done.limit, account.key(done.new.hash).limit) == (7.25, 7.25)
    assert account.changes == ["create", "update", "update"]


async def test_what_is_charged_after_the_rotation(account: Account) -> None:
    """Finishing takes it off the new key, unless its limit was changed by then."""
    for changed, expected in ((None, 6.5), (50, 50)):
        old = (await account.keys.create("acme", limit=10)).data
        done = await account.rotate(old)
        if changed is not None:
            await account.keys.update(done.new.hash or "", limit=changed)
        account.box.spend(old.hash, 3.5)  # a request that was under way
        [told] = await account.keys.finish_rotations(
            grace=0, journal_dir=account.folder / "journal"
        )
        assert told.outcome is Outcome.DELETED
        assert account.key(done.new.hash).limit == expected
        assert ("its limit is now 6.50 USD" in told.reason) == (changed is None)


async def test_more_was_spent_than_was_left(account: Account) -> None:
    """Then the new key has nothing."""
    old = (await account.keys.create("acme", limit=10)).data

    def spend(operation: str, number: int) -> None:
        if (operation, number) == ("update", 1):
            account.box.spend(old.hash, 11)

    account.at_attempt = spend
    done = await account.rotate(old)
    assert (done.limit, account.key(done.new.hash).limit) == (0, 0)


@pytest.mark.parametrize("failing", ["disable", "lower", "read"])
async def test_lowering_fails_and_is_gone_on_with(account: Account, failing: str) -> None:
    """Whatever fails on the way, rotating again ends with what was left."""
    old = (await account.keys.create("acme", limit=10)).data

    def spend(operation: str, number: int) -> None:
        if (operation, number) == ("create", 2) and failing == "disable":
            account.box.fail("update", status=403)
        if (operation, number) == ("update", 1) and failing != "disable":
            account.box.spend(old.hash, 4)
            account.box.fail("update" if failing == "lower" else "get", status=403)

    account.at_attempt = spend
    with pytest.raises(RotationError, match="403"):
        await account.rotate(old)
    account.box.spend(old.hash, 1)
    done = await account.rotate(old)
    assert done.limit == account.key(old.hash).limit_remaining == account.key(done.new.hash).limit
    assert account.changes.count("create") == 1


async def test_the_new_limit_before_the_old_key_is_disabled(account: Account) -> None:
    """A rotation that rested for a while lowers it first: at no moment is there more."""
    old = (await account.keys.create("acme", limit=10)).data
    account.box.fail("update", status=403)
    with pytest.raises(RotationError):
        await account.rotate(old)
    account.box.spend(old.hash, 6)
    [new] = [key for key in account.box.keys if key.name.startswith("acme (")]
    seen: list[tuple[bool, float | None]] = []

    def look(operation: str, number: int) -> None:
        if operation == "update":
            seen.append((account.key(old.hash).disabled, account.key(new.hash).limit))

    account.at_attempt = look
    await account.rotate(old)
    assert seen == [(False, 4), (True, 4)]


async def test_a_service_that_does_not_lower(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path
) -> None:
    """It is not believed that it did."""
    service = Service(limit=10, limit_reset=None, limit_remaining=10)
    service.spends = 3
    service.ignores_limits = True
    async with ScriptedServer(handler=service) as server:
        with pytest.raises(RotationError, match="did not lower"):
            await rotated(client_for(server, clock=clock), tmp_path)
    assert [json for method, json in service.changes if method == "PATCH"] == [
        {"disabled": True},
        {"limit": 7},
    ]


async def test_a_new_key_with_the_whole_limit(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path
) -> None:
    """What was asked for counts, not what the old key had."""
    service = Service(limit=10, limit_reset=None, limit_remaining=4)
    service.made = {"limit": 10}
    async with ScriptedServer(handler=service) as server:
        with pytest.raises(RotationError, match=r"differs from the old one in limit;"):
            await rotated(client_for(server, clock=clock), tmp_path)
    assert [method for method, _ in service.changes] == ["POST"]


async def test_roll_back_of_a_lifetime_cap(account: Account) -> None:
    """What the new key spent is taken off the old one's limit, once."""
    old = (await account.keys.create("acme", limit=10)).data
    account.box.spend(old.hash, 1)
    done = await account.rotate(old)
    account.box.spend(done.new.hash or "", 2)
    account.box.fail("delete", status=403)
    journal = account.folder / "journal"
    with pytest.raises(Exception, match="403"):
        await account.keys.roll_back(old.hash, journal_dir=journal)
    back = await account.keys.roll_back(old.hash, journal_dir=journal)
    assert (back.limit, back.limit_remaining, back.disabled) == (8, 7, False)
    assert unfinished(journal) == []


# Limits that reset


async def test_a_window_starts_anew_and_that_is_said(account: Account) -> None:
    """The limit is carried, what was spent in the window is not: the result says how much."""
    old = (await account.keys.create("acme", limit=10, limit_reset="monthly")).data
    account.box.spend(old.hash, 6.4)
    done = await account.rotate(old)
    assert (done.limit, account.key(done.new.hash).limit_remaining) == (10, 10)
    assert "monthly limit starts from zero, so up to 6.40 USD" in done.left_behind[0]
    [item] = unfinished(account.folder / "journal")
    assert (item.left_behind, item.limit) == (done.left_behind, 10)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": 5}, "limit"),
        ({"limit": None}, "limit"),
        ({"limit_reset": "daily"}, "limit_reset"),
        ({"limit_reset": None}, "limit"),
        ({"include_byok_in_limit": True}, "include_byok_in_limit"),
        ({"workspace_id": 2}, "workspace_id"),
    ],
    ids=str,
)
@pytest.mark.parametrize("when", ["before it is disabled", "as it is disabled"])
async def test_the_old_key_is_changed_meanwhile(
    account: Account, change: dict[str, Any], field: str, when: str
) -> None:
    """The new key is no longer its equal: both stay, and rolling back restores."""
    old = (await account.keys.create("acme", limit=10, limit_reset="monthly")).data
    if "workspace_id" in change:
        change = {"workspace_id": account.box.workspaces[2].id}
    if when == "before it is disabled":
        account.box.fail("update", status=403)
        with pytest.raises(RotationError, match="403"):
            await account.rotate(old)
        await account.keys.update(old.hash, **change)
    else:
        update = account.box._service.account.update
        account.at_attempt = lambda operation, number: (
            update(hash=old.hash, **change) if (operation, number) == ("create", 2) else None
        )
    with pytest.raises(RotationError, match=f"differs from the old one in .*{field}"):
        await account.rotate(old)
    [new] = [key for key in account.box.keys if key.name.startswith("acme (")]
    assert not new.disabled
    back = await account.keys.roll_back(old.hash, journal_dir=account.folder / "journal")
    assert not back.disabled
    for name, value in change.items():
        assert getattr(back, name) == value
    assert new.hash not in {key.hash for key in account.box.keys}


async def test_a_lifetime_cap_is_changed_meanwhile(account: Account) -> None:
    """A lower one binds the new key too; of a higher one is said what was not carried."""
    for limit, expected, sentences in ((6, 5, 0), (30, 9, 1)):
        old = (await account.keys.create("acme", limit=10)).data
        account.box.spend(old.hash, 1)
        account.box.fail("update", status=403)
        with pytest.raises(RotationError, match="403"):
            await account.rotate(old)
        await account.keys.update(old.hash, limit=limit)
        done = await account.rotate(old)
        assert account.key(done.new.hash).limit == expected
        assert len([each for each in done.left_behind if "20.00 USD" in each]) == sentences


# People


async def test_creator_and_external_user_are_carried(account: Account) -> None:
    """Whoever the key belongs to; the partner's own key is not known to anybody."""
    made = await account.keys.create(
        "acme", creator_user_id=OTHER, external={"user": "customer-7", "api_key": "k" * 32}
    )
    done = await account.rotate(made.data)
    new = account.key(done.new.hash)
    assert (new.creator_user_id, new.external_user) == (OTHER, "customer-7")
    assert any("partner's own key" in sentence for sentence in done.left_behind)


@pytest.mark.parametrize("status", [400, 403, 409])
async def test_a_creator_that_is_refused(account: Account, status: int) -> None:
    """It is a definite failure that says so, and nothing is left; others stay what they are."""
    old = (await account.keys.create("acme", creator_user_id=OTHER)).data
    account.box.fail("create", status=status)
    with pytest.raises(RotationError, match=f"creator {OTHER}.*{status}"):
        await account.rotate(old)
    assert account.changes == ["create"]
    assert unfinished(account.folder / "journal") == []
    assert not (account.folder / "new.key").exists()


@pytest.mark.parametrize(
    ("field", "wanted", "got"),
    [
        ("creator_user_id", OTHER, "user_x"),
        ("external_user", "customer-7", None),
        ("workspace_id", "w1", "w2"),
        ("expires_at", "2031-01-01T00:00:00Z", None),
        ("expires_at", "2031-01-01T00:00:00Z", "2031-01-02T00:00:00Z"),
    ],
)
async def test_a_service_that_does_not_carry(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path, field: str, wanted: str, got: Any
) -> None:
    """What was asked for and not given stops the rotation, before the old key is touched."""
    service = Service(**{field: wanted})
    service.made = {field: got}
    async with ScriptedServer(handler=service) as server:
        with pytest.raises(RotationError, match=f"differs from the old one in {field};"):
            await rotated(client_for(server, clock=clock), tmp_path)
    assert [method for method, _ in service.changes] == ["POST"]


async def test_a_service_that_rounds_times(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path
) -> None:
    """A part of a second makes no other key."""
    service = Service(expires_at="2031-01-01T00:00:00.789123+00:00")
    service.made = {"expires_at": "2031-01-01T00:00:00.789Z"}
    async with ScriptedServer(handler=service) as server:
        assert (await rotated(client_for(server, clock=clock), tmp_path)).new.hash == "n" * 64


# Guardrails


class Service:
    """Just enough of the service for a rotation, with answers that it should not give."""

    def __init__(self, **fields: Any) -> None:
        self.old = record(**{"label": "sk-or-v1-d4d...4d4", **fields})
        self.made: dict[str, Any] = {}
        """What the new key gets, whatever was asked for."""
        self.spends = 0.0
        """USD that the old key spends before it is disabled."""
        self.ignores_limits = False
        self.assignments: list[Step] = []
        """What is answered about guardrails; then: none."""
        self.changes: list[tuple[str, Any]] = []
        self.asked: list[str] = []
        """Targets of the questions about guardrails."""
        self.new: dict[str, Any] = {}

    def __call__(self, request: Request) -> Step:
        """Answer a request."""
        if request.method != "GET":
            self.changes.append((request.method, request.json()))
        if "/guardrails/" in request.target:
            self.asked.append(request.target)
            empty = reply(json={"data": [], "total_count": 0})
            return self.assignments.pop(0) if self.assignments else empty
        if request.method == "POST":
            asked = request.json()
            external = {"external_user": asked.pop("external", {}).get("user")}
            self.new = record(hash="n" * 64, **external, **asked, label="new", usage=0)
            self.new |= {"limit_remaining": self.new["limit"], **self.made}
            return reply(201, json={"data": self.new, "key": NEW_KEY})
        if request.target.endswith("/key"):
            mine = request.header("Authorization") == f"Bearer {NEW_KEY}"
            return reply(json={"data": {**CURRENT_KEY, **(self.new if mine else {})}})
        key = self.old if HASH in request.target else self.new
        if request.method == "PATCH":
            changed = request.json()
            if changed.get("disabled") and self.spends:
                self.old["limit_remaining"] -= self.spends
            if self.ignores_limits:
                changed.pop("limit", None)
            key |= changed
        return reply(json={"data": key})


async def rotated(client: AsyncOpenRouter, folder: Path, **given: Any) -> Rotation:
    """Rotate the only key of such a service."""
    return await client.api_keys.rotate(
        HASH, sink=FileSink(folder / "new.key"), journal_dir=folder / "journal", **given
    )


def page(numbers: range, total: int, *, of: str | None = None) -> Step:
    """Make a page of assignments of other keys, or of one."""
    rows = [{**ASSIGNMENT, "id": str(number), "key_hash": f"{number:064x}"} for number in numbers]
    if of is not None:
        rows[-1] = {**rows[-1], "key_hash": of}
    return reply(json={"data": rows, "total_count": total})


NONE = {
    "none": [],
    "not there at all": [reply(404, json=problem(404))],
    "other keys'": [page(range(3), 3)],
    "other keys' on three pages": [
        page(range(100), 250), page(range(100, 200), 250), page(range(200, 250), 250),
    ],
    "an answer that comes at the third try": [reset(), reply(503), page(range(3), 3)],
    "a list that changed while it was read": [
        page(range(100), 150), page(range(100, 149), 149), page(range(100), 149),
        page(range(100, 149), 149),
    ],
}  # fmt: skip
CANNOT_KNOW = {
    "403": [reply(403, json=problem(403))],
    "500": [reply(500, json=problem(500))] * 3,
    "502, HTML": [html(502)] * 3,
    "no answer": [reset()] * 3,
    "a shape that nobody knows": [reply(json={"data": [{"id": "1"}]})],
    "403 on the second page": [page(range(100), 150), reply(403, json=problem(403))],
    "404 on the second page": [page(range(100), 150), reply(404, json=problem(404))],
    "the same page again": [page(range(100), 300)] * 2,
    "a list that never holds still": [page(range(100), 150), page(range(100, 149), 149)] * 3,
}
HAS_ONE = {
    "on the first page": [page(range(100), 250, of=HASH)],
    "on the second page": [page(range(100), 150), page(range(100, 150), 150, of=HASH)],
    "without a total": [
        reply(json={"data": [{**ASSIGNMENT, "key_hash": HASH}]}),
    ],
}


@pytest.mark.parametrize("answers", NONE.values(), ids=NONE)
async def test_a_key_without_a_guardrail(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path, answers: list[Step]
) -> None:
    """It is rotated."""
    service = Service()
    service.assignments = list(answers)
    async with ScriptedServer(handler=service) as server:
        done = await rotated(client_for(server, clock=clock), tmp_path)
    assert not any("guardrail" in sentence for sentence in done.left_behind)
    assert service.assignments == []
    assert service.asked[0].endswith("/guardrails/assignments/keys?offset=0&limit=100")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        *((answers, "cannot be determined") for answers in CANNOT_KNOW.values()),
        *((answers, "the guardrail g1") for answers in HAS_ONE.values()),
    ],
    ids=[*CANNOT_KNOW, *HAS_ONE],
)
async def test_a_key_that_has_one_or_may(
    client_for: ClientFor, clock: FakeClock, tmp_path: Path, answers: list[Step], says: str
) -> None:
    """It is refused before anything is made, unless that is allowed; then it is said."""
    service = Service()
    service.assignments = list(answers)
    async with ScriptedServer(handler=service) as server:
        client = client_for(server, clock=clock)
        with pytest.raises(RotationError, match=f"{says}.*allow_unguarded") as caught:
            await rotated(client, tmp_path)
        assert (caught.value.old_hash, caught.value.journal) == (HASH, None)
        assert caught.value.__context__ is None
        assert service.changes == []
        assert list(tmp_path.iterdir()) == []
        service.assignments = list(answers)
        done = await rotated(client, tmp_path, allow_unguarded=True)
    assert says in done.left_behind[0]
    [item] = unfinished(tmp_path / "journal")
    assert item.left_behind == done.left_behind


@pytest.mark.parametrize("wrong", [1, "yes", None])
async def test_the_permission_is_a_bool(account: Account, wrong: Any) -> None:
    """Anything else is refused before anything is asked."""
    old = (await account.keys.create("acme")).data
    before = len(account.box.requests)
    with pytest.raises(InvalidRequestError, match="allow_unguarded"):
        await account.rotate(old, allow_unguarded=wrong)
    assert len(account.box.requests) == before


def broken(_: ProvisionedKey) -> None:
    """Refuse a plaintext."""
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("way", ["rotate", "resume"])
async def test_a_guardrail_that_came_meanwhile(account: Account, way: str) -> None:
    """A rotation that is gone on with asks again; the same one on the new key is well."""
    old = (await account.keys.create("acme", limit=10, limit_reset="daily")).data
    account.box.fail("update", status=403)
    with pytest.raises(RotationError, match="403"):
        await account.rotate(old)
    guardrail = account.box.assign_guardrail(old.hash)
    [item] = unfinished(account.folder / "journal")

    async def go_on() -> None:
        await (account.rotate(old) if way == "rotate" else account.keys.resume(item))

    with pytest.raises(RotationError, match=f"{guardrail}; assign it to {item.hash}"):
        await go_on()
    assert not account.key(old.hash).disabled
    account.box.assign_guardrail(item.hash or "", "another")
    with pytest.raises(RotationError, match=guardrail):
        await go_on()
    account.box.assign_guardrail(item.hash or "", guardrail)
    await go_on()
    assert account.key(old.hash).disabled
    assert account.changes == ["create", "update", "update"]


async def test_the_permission_outlives_the_process(account: Account) -> None:
    """What was allowed at the beginning is allowed when it is resumed."""
    old = (await account.keys.create("acme")).data
    guardrail = account.box.assign_guardrail(old.hash)
    account.box.fail("update", status=403)
    with pytest.raises(RotationError, match="403"):
        await account.rotate(old, allow_unguarded=True)
    [item] = unfinished(account.folder / "journal")
    left = await account.keys.resume(item)
    assert left is not None
    assert left.state is State.PENDING
    assert guardrail in left.left_behind[0]


async def test_what_is_never_looked_at(account: Account) -> None:
    """Other places may name the old key; that is said of every rotation."""
    old = (await account.keys.create("acme")).data
    done = await account.rotate(old)
    [sentence] = done.left_behind
    for place in ("BYOK", "observability", "I/O logging", "federation"):
        assert place in sentence


async def test_assignments_are_listed(account: Account) -> None:
    """By pages, with the total; a deleted key's is gone, a key has one at most."""
    made = [(await account.keys.create(f"k{n}")).data for n in range(3)]
    for key in made:
        account.box.assign_guardrail(key.hash, "first")
    account.box.assign_guardrail(made[0].hash, "second")
    await account.keys.delete(made[1].hash)
    listed = account.client.guardrails.list_key_assignments
    answer = await listed()
    assert answer.total_count == 2
    assert [(each.key_hash, each.guardrail_id) for each in answer.data] == [
        (made[0].hash, "second"),
        (made[2].hash, "first"),
    ]
    assert [each.key_name for each in (await listed(offset=1, limit=1)).data] == ["k2"]
    with pytest.raises(InvalidRequestError):
        account.box.assign_guardrail("0" * 64)


def test_blocking(tmp_path: Path) -> None:
    """The blocking client does the same."""
    with Sandbox() as box, OpenRouter(box.management_key, server_url=box.url) as client:
        old = client.api_keys.create("acme", limit=8).data
        box.spend(old.hash, 3)
        guardrail = box.assign_guardrail(old.hash)
        [assignment] = client.guardrails.list_key_assignments().data
        assert (assignment.key_hash, assignment.guardrail_id) == (old.hash, guardrail)
        given: dict[str, Any] = {"sink": FileSink(tmp_path / "x"), "journal_dir": tmp_path / "j"}
        with pytest.raises(RotationError, match=guardrail):
            client.api_keys.rotate(old.hash, **given)
        done = client.api_keys.rotate(old.hash, **given, allow_unguarded=True)
        assert (done.limit, done.old_limit) == (5, 8)
        assert guardrail in done.left_behind[0]
        later = done.disabled_at + timedelta(days=2)
        [told] = client.api_keys.finish_rotations(now=later, journal_dir=tmp_path / "j")
        assert told.outcome is Outcome.DELETED
