"""The rows of the table: what is measured against what, and the goals."""

from typing import Final

from benchmarks.cases import (
    Case,
    again,
    decoding,
    from_tasks,
    from_threads,
    memory,
    nothing,
    orjson_loads,
    script,
)
from benchmarks.figures import Goal, Row, growth, net_share, share, times
from benchmarks.server import Kind


def _at_most(bound: float) -> Goal:
    return Goal("≤", bound)


def _at_least(bound: float) -> Goal:
    return Goal("≥", bound)


def _tasks(what: str, workers: int, other: str, server: Kind = "plain") -> tuple[Case, Case]:
    ours, theirs = (from_tasks(side, what, workers, server=server) for side in ("ours", other))
    return ours, theirs


def _threads(what: str, workers: int) -> tuple[Case, Case]:
    return from_threads("ours", what, workers), from_threads("official", what, workers)


_FLOOR_GET: Final = from_tasks("floor", "async_get", 32)
_GET: Final = "async get, {} concurrent"
_LIST: Final = "async list of 100 records, {} concurrent"
_SDK: Final = "official SDK"
_TUNED: Final = "floor tuned as ours is"
_STRUCTS: Final = "tuned floor, msgspec.Struct"
_OVER: Final[tuple[tuple[Kind, str], ...]] = (("tls", "TLS"), ("gzip", "gzip"))
_RETRIED: Final = from_tasks("ours", "async_get_again", 32, server="failing")
_CLEAN: Final = from_tasks("ours", "async_get_again", 32)


def _over(server: Kind, over: str, what: str, workers: int, title: str) -> tuple[Row, ...]:
    """Return the rows of an operation over TLS or gzip, against each other side."""
    return tuple(
        Row(
            f"{server}-{what}:{workers}-{other}",
            f"{title.format(workers)}, {over}",
            f"{against}, {over} too",
            compare(*_tasks(f"async_{what}", workers, other, server)),
        )
        for other, against, compare in (
            ("floor", "floor", share),
            ("tuned", _TUNED, share),
            ("official", _SDK, times),
        )
    )


WITH_GOAL: Final = (
    Row(
        "async-get:1-floor",
        _GET.format(1),
        "floor",
        share(*_tasks("async_get", 1, "floor")),
        _at_most(1.00),
    ),
    Row(
        "async-get:32-floor",
        _GET.format(32),
        "floor",
        share(*_tasks("async_get", 32, "floor")),
        _at_most(0.60),
    ),
    Row(
        "async-get:256-above-32",
        _GET.format(256),
        "floor, ratio above that at 32",
        growth(share(*_tasks("async_get", 32, "floor")), share(*_tasks("async_get", 256, "floor"))),
        _at_most(0.05),
    ),
    Row(
        "async-list:32-floor",
        _LIST.format(32),
        "floor",
        share(*_tasks("async_list", 32, "floor")),
        _at_most(1.05),
    ),
    Row(
        "async-get:32-official",
        _GET.format(32),
        _SDK,
        times(*_tasks("async_get", 32, "official")),
        _at_least(60),
    ),
    Row(
        "async-list:32-official",
        _LIST.format(32),
        _SDK,
        times(*_tasks("async_list", 32, "official")),
        _at_least(16),
    ),
    Row(
        "blocking-get:1-official",
        "blocking get, one thread",
        _SDK,
        times(*_threads("blocking_get", 1)),
        _at_least(12),
    ),
    Row(
        "blocking-get:32-official-throughput",
        "blocking get, 32 threads on one client, throughput",
        _SDK,
        times(*_threads("blocking_get", 32)),
        _at_least(20),
        metric="wall",
    ),
    Row(
        "decode:msgspec",
        "decoding a page of 100 records",
        "msgspec into attrs",
        share(decoding("ours"), decoding("floor")),
        _at_most(1.15),
    ),
    Row(
        "memory:official",
        "memory a decoded record",
        _SDK,
        share(memory("ours"), memory("official")),
        _at_most(0.35),
        metric="memory",
    ),
    Row(
        "start:import",
        "import of AsyncOpenRouter and APIKey, without the interpreter's start",
        _SDK,
        net_share(script("ours", "IMPORT"), script("official", "IMPORT"), nothing()),
        _at_most(0.5),
    ),
    Row(
        "start:import-blocking",
        "import of OpenRouter, without the interpreter's start",
        _SDK,
        net_share(script("ours", "IMPORT_BLOCKING"), script("official", "IMPORT"), nothing()),
        _at_most(0.6),
    ),
    Row(
        "start:first-call",
        "import, blocking client, first call",
        _SDK,
        share(script("ours", "FIRST_CALL"), script("official", "FIRST_CALL")),
        _at_most(0.8),
    ),
    Row(
        "create:32-floor",
        "async create with all parameters, 32 concurrent",
        "floor, new connections too",
        share(*_tasks("async_create", 32, "floor")),
        _at_most(1.20),
    ),
    Row(
        "retries:1-percent",
        "async get while 1 % of the requests are retried, 32 concurrent",
        "ours without a retry",
        share(_RETRIED, _CLEAN),
        _at_most(1.1),
    ),
)
"""The project's goals."""

FOR_REFERENCE: Final = (
    Row(
        "async-get:noise",
        "floor, 32 concurrent (the noise of this run)",
        "the same again",
        share(_FLOOR_GET, again(_FLOOR_GET)),
    ),
    Row(
        "async-get:256-floor",
        _GET.format(256),
        "floor",
        share(*_tasks("async_get", 256, "floor")),
    ),
    *(
        Row(
            f"async-get:{n}-tuned",
            _GET.format(n),
            _TUNED,
            share(*_tasks("async_get", n, "tuned")),
        )
        for n in (1, 32)
    ),
    *(
        Row(
            f"async-list:32-{other}",
            _LIST.format(32),
            against,
            share(*_tasks("async_list", 32, other)),
        )
        for other, against in (("tuned", _TUNED), ("structs", _STRUCTS))
    ),
    *(
        row
        for server, over in _OVER
        for what, workers, title in (("get", 1, _GET), ("get", 32, _GET), ("list", 32, _LIST))
        for row in _over(server, over, what, workers, title)
    ),
    *(
        Row(
            f"async-get:{n}-official",
            _GET.format(n),
            _SDK,
            times(*_tasks("async_get", n, "official")),
        )
        for n in (1, 256)
    ),
    *(
        Row(
            f"async-list:{n}-floor",
            _LIST.format(n),
            "floor",
            share(*_tasks("async_list", n, "floor")),
        )
        for n in (1, 256)
    ),
    *(
        Row(
            f"async-list:{n}-official",
            _LIST.format(n),
            _SDK,
            times(*_tasks("async_list", n, "official")),
        )
        for n in (1, 256)
    ),
    *(
        Row(
            f"floor-{what}:32-official",
            f"the floor itself: {title.format(32)}",
            _SDK,
            times(*(from_tasks(side, f"async_{what}", 32) for side in ("floor", "official"))),
        )
        for what, title in (("get", _GET), ("list", _LIST))
    ),
    *(
        Row(
            f"blocking-{what}:{n}-official",
            f"blocking {what}, {n} threads on one client" if n > 1 else f"blocking {what}",
            _SDK,
            times(*_threads(f"blocking_{what}", n)),
        )
        for what, n in (("get", 32), ("get", 256), ("list", 1), ("list", 32), ("list", 256))
    ),
    Row(
        "blocking-get:1-floor",
        "blocking get, one thread",
        "async floor, 1 task",
        share(from_threads("ours", "blocking_get"), from_tasks("floor", "async_get")),
    ),
    Row(
        "create:1-floor",
        "async create with all parameters, one after the other",
        "floor, new connections too",
        share(*_tasks("async_create", 1, "floor")),
    ),
    Row(
        "decode:structs",
        "decoding a page of 100 records",
        "msgspec.Struct",
        share(decoding("ours"), decoding("structs")),
    ),
    Row(
        "memory:structs",
        "memory a decoded record",
        "msgspec.Struct",
        share(memory("ours"), memory("structs")),
        metric="memory",
    ),
    Row(
        "decode:official",
        "decoding a page of 100 records",
        _SDK,
        times(decoding("ours"), decoding("official")),
    ),
    Row(
        "decode:orjson",
        "decoding a page of 100 records",
        "orjson.loads, into dicts",
        share(decoding("ours"), orjson_loads()),
    ),
    Row(
        "start:import-whole",
        "import, with the interpreter's start",
        _SDK,
        share(script("ours", "IMPORT"), script("official", "IMPORT")),
    ),
    Row(
        "start:import-floor",
        "import of OpenRouter, without the interpreter's start",
        "import of aiohttp, attrs, msgspec",
        net_share(script("ours", "IMPORT_BLOCKING"), script("floor", "IMPORT"), nothing()),
    ),
    Row(
        "start:import-command",
        "import of the command, without the interpreter's start",
        "official SDK, which has no command",
        net_share(script("ours", "IMPORT_COMMAND"), script("official", "IMPORT"), nothing()),
    ),
    Row(
        "start:first-call-async",
        "import, async client, first call",
        "aiohttp, msgspec into dicts",
        share(script("ours", "FIRST_CALL_ASYNC"), script("floor", "FIRST_CALL")),
    ),
    Row(
        "start:first-call-floor",
        "import, blocking client, first call",
        "aiohttp, msgspec into dicts",
        share(script("ours", "FIRST_CALL"), script("floor", "FIRST_CALL")),
    ),
    Row(
        "start:first-command",
        "openrouter-keys get, with the interpreter's start",
        "official SDK: import, blocking client, first call",
        share(script("ours", "FIRST_COMMAND"), script("official", "FIRST_CALL")),
    ),
)
"""Rows that help to interpret the others."""

UVLOOP: Final = tuple(
    row
    for what, title in (("async_get", _GET), ("async_list", _LIST))
    for n in (1, 32)
    for ours in (from_tasks("ours", what, n, loop="uvloop"),)
    for row in (
        Row(
            f"uvloop-{what[6:]}:{n}-floor",
            f"{title.format(n)}, uvloop",
            "floor, uvloop too",
            share(ours, from_tasks("floor", what, n, loop="uvloop")),
        ),
        Row(
            f"uvloop-{what[6:]}:{n}-asyncio",
            f"{title.format(n)}, uvloop",
            "ours on asyncio",
            share(ours, from_tasks("ours", what, n)),
        ),
    )
)
"""The rows of `--uvloop`."""
