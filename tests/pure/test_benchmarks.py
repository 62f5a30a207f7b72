"""The arithmetic, the order and the sides of the benchmarks; nothing here looks at a clock."""

import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def _checkout() -> Iterator[None]:
    """Find the benchmarks, which no wheel contains, beside the tests."""
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


def _case(name: str, log: list[str]) -> Any:
    @contextmanager
    def opened() -> Iterator[Any]:
        def batch(_: int) -> dict[str, float]:
            log.append(name)
            return {"cpu": 1.0, "wall": 1.0}

        yield batch

    return opened


def _broken() -> AbstractContextManager[Any]:
    import_module("no_such_competitor")
    raise AssertionError


def test_cases_take_turns_in_being_first() -> None:
    """Rounds are A B C, B C A, …, after two batches of warm-up for each."""
    log: list[str] = []
    cases = {name: _case(name, log) for name in "abc"}

    measured = import_module("benchmarks.measure").interleave(cases, rounds=3, seconds=1)

    assert "".join(log) == "aabbcc" + "abc" + "bca" + "cab"
    assert len(measured.samples) == 3


def test_a_competitor_that_is_missing_is_named() -> None:
    """It is left out of the rounds, and the report has the reason."""
    cases = {"here": _case("here", []), "missing": _broken}

    measured = import_module("benchmarks.measure").interleave(cases, rounds=1, seconds=1)

    assert measured.failed == {"missing": "no_such_competitor is not installed"}
    assert list(measured.samples[0]) == ["here"]


def test_median_and_quartiles() -> None:
    """Quartiles are inclusive, and one value is its own spread."""
    spread = import_module("benchmarks.measure").Spread

    assert spread.of([5, 1, 2, 4, 3]) == spread(3, 2, 4)
    assert spread.of([7]) == spread(7, 7, 7)


def test_figures() -> None:
    """A share is ours by theirs, `times` is the reverse, growth a difference of shares."""
    figures, cases = import_module("benchmarks.figures"), import_module("benchmarks.cases")
    a, b, c, d = (cases.Case(name, _broken) for name in "abcd")
    costs = {case: {"cpu": cost} for case, cost in ((a, 6), (b, 4), (c, 2), (d, 1))}

    assert figures.share(a, b).of(costs, "cpu") == 1.5
    assert figures.times(c, a).of(costs, "cpu") == 3
    assert figures.growth(figures.share(a, b), figures.share(c, d)).of(costs, "cpu") == 0.5
    assert figures.net_share(b, a, c).of(costs, "cpu") == 0.5
    assert figures.share(a, b).of(costs, "wall") is None


def test_goals_are_for_the_median() -> None:
    """Either at most or at least, bounds included."""
    goal = import_module("benchmarks.figures").Goal

    assert goal("≤", 1.2).met_by(1.2)
    assert not goal("≤", 1.2).met_by(1.21)
    assert goal("≥", 6).met_by(6)
    assert not goal("≥", 6).met_by(5.9)


def test_rows_have_names_of_their_own() -> None:
    """A later run is compared row by row, by name."""
    rows = import_module("benchmarks.rows")
    slugs = [row.slug for row in (*rows.WITH_GOAL, *rows.FOR_REFERENCE, *rows.UVLOOP)]

    assert len(slugs) == len(set(slugs))
    assert all(row.goal for row in rows.WITH_GOAL)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        (b"GET", b"/api/v1/keys?offset=100", b"200"),
        (b"GET", b"/api/v1/keys/0123", b"200"),
        (b"GET", b"/api/v1/key", b"200"),
        (b"POST", b"/api/v1/keys", b"201"),
        (b"GET", b"/keys", b"404"),
        (b"DELETE", b"/api/v1/keys/0123", b"404"),
    ],
)
def test_canned_answers(method: bytes, target: bytes, status: bytes) -> None:
    """The server of the benchmarks answers by method and path."""
    answer = import_module("benchmarks.server").choose(method, target)

    assert answer.split(b" ", 2)[1] == status


def test_a_command_is_measured_as_a_process() -> None:
    """Its own memory and CPU, and a command that fails is an error."""
    tool = import_module("benchmarks.tool")
    cost = tool.run((sys.executable, "-c", "bytearray(range(256)) * 2**20"), {})
    assert 256 < cost.peak < 4096
    assert cost.cpu > 0
    with pytest.raises(CalledProcessError):
        tool.run((sys.executable, "-c", "raise SystemExit(3)"), {})


def test_whole_commands_are_held_against_the_plain_audit() -> None:
    """Medians of rounds, and their shares."""
    tool = import_module("benchmarks.tool")
    costs = {
        tool.PLAIN: [tool.Cost(1.0, 1.0, 100), tool.Cost(2.0, 1.0, 100), tool.Cost(9.0, 1.0, 100)],
        "audit": [tool.Cost(4.0, 3.0, 150)],
    }
    columns = [list(column.cells) for column in tool.table(1000, costs).columns]
    assert columns == [
        [tool.PLAIN, "audit"], ["2.00", "4.00"], ["", "2.00"], ["1.00", "3.00"], ["", "3.00"],
        ["100", "150"], ["", "1.50"],
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "status"), [(b"GET", b"200 OK"), (b"POST", b"201 Created")])
def test_compressed_responses(method: bytes, status: bytes) -> None:
    """Compression changes the body and its headers, and nothing else."""
    server = import_module("benchmarks.server")
    plain = server.choose(method, b"/api/v1/keys")

    head, _, body = server.compressed(plain).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"\r\nContent-Encoding: gzip" in head
    assert b"\r\nContent-Length: %d" % len(body) in head
    assert zlib.decompress(body, wbits=31) == plain.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("kind", ["plain", "tls", "gzip"])
async def test_sides_work_with_each_server(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every side decodes the same page and key, over plain HTTP, TLS and gzip."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the server's process
    monkeypatch.setenv("BENCHMARKS_CA", "")  # so that it is removed again
    hash_ = import_module("benchmarks.samples").HASHES[0]
    lists = []
    with import_module("benchmarks.server").Servers() as servers:
        url = servers.url(kind)
        for side in ("ours", "wire", "tuned", "floor", "structs"):
            module = import_module(f"benchmarks.{side}")
            async with module.async_list(url) as call:
                lists.append((await call()).data)
            if side != "structs":
                async with module.async_get(url) as call:
                    assert (await call()).data.hash == hash_
    assert url.startswith("https:" if kind == "tls" else "http:")
    assert len(lists[0]) == 100
    for page in lists:
        assert [repr(key) for key in page] == [repr(key) for key in lists[0]]


def test_instructions_are_compared_with_the_committed_ones() -> None:
    """Each count is shown with its ratio to the first side and its change since the last."""
    counts = {"get": {"floor": 200, "ours": 210}, "import": {"ours": 7}}

    cells = import_module("benchmarks.instructions").rows(counts, {"get": {"ours": 200}})

    assert list(cells) == [
        ("get", "floor", "200", "1.000", "new"),
        ("get", "ours", "210", "1.050", "+5.0%"),
        ("import", "ours", "7", "1.000", "new"),
    ]


def test_committed_instructions_are_complete() -> None:
    """There is a figure for all that is counted, so that no difference is missing."""
    instructions = import_module("benchmarks.instructions")
    committed = json.loads((ROOT / "benchmarks" / "figures.json").read_text("utf-8"))

    counted = {each.name: set(each.sides) for each in instructions.OPERATIONS}
    counted |= {name: {row[0] for row in group} for name, group in instructions.SCRIPTS.items()}
    assert {name: set(sides) for name, sides in committed["instructions"].items()} == counted
