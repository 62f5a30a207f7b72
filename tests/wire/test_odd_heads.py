"""Heads of answers: long ones are read, and a body is read whatever its label says that it is."""

import gzip
import json
import zlib

import pytest
from support.calls import CREATE, GET, LIST, NEW_KEY, Call, ClientFor, problem
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Headers, reply

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    InternalServerResponseError,
    OpenRouterError,
    ResponseValidationError,
)

KIB = 1024
LONG: dict[str, Headers] = {
    "a field of 16 KiB": {"X-Policy": "p" * (16 * KIB - len("X-Policy"))},
    "a field of 9,000 bytes": {"Content-Security-Policy": "p" * 9000},
    "250 fields": [(f"X-Trace-{number}", "t") for number in range(250)],
    "250 fields, one long": [*((f"X-{n}", "t") for n in range(250)), ("X-Long", "l" * 16_000)],
}
TOO_LONG: dict[str, Headers] = {
    "a longer field": {"X-Policy": "p" * (16 * KIB + 1)},
    "300 fields": [(f"X-Trace-{number}", "t") for number in range(300)],
}


@pytest.mark.parametrize("call", [CREATE, GET], ids=str)
@pytest.mark.parametrize("case", LONG)
async def test_long_heads_are_read(case: str, call: Call, client_for: ClientFor) -> None:
    """As other clients read them: 16 KiB a field, 256 fields."""
    async with ScriptedServer(call.ok(headers=LONG[case])) as server:
        await call(client_for(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", [CREATE, GET], ids=str)
@pytest.mark.parametrize("case", TOO_LONG)
async def test_beyond_the_bound(case: str, call: Call, client_for: ClientFor) -> None:
    """One request, and an error that says what the bound is."""
    async with ScriptedServer(default=call.ok(headers=TOO_LONG[case])) as server:
        with pytest.raises(OpenRouterError, match="more than 256 headers of 16 KiB each") as caught:
            await call(client_for(server))
    assert len(server.requests) == 1
    expected = AmbiguousCreateError if call is CREATE else APIConnectionError
    assert isinstance(caught.value, expected)


LABELS = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "GZIP", "gzip, br", "none", "br,,"]


@pytest.mark.parametrize("call", [CREATE, GET, LIST], ids=str)
@pytest.mark.parametrize("label", LABELS)
async def test_plain_json_under_a_wrong_label(
    label: str, call: Call, client_for: ClientFor
) -> None:
    """A proxy unpacked it and left the label on: it is read, and for a create, the key is there."""
    async with ScriptedServer(call.ok(headers={"Content-Encoding": label})) as server:
        answer = await call(client_for(server))
    assert len(server.requests) == 1
    if call is CREATE:
        assert (answer.key, answer.problem) == (NEW_KEY, None)


@pytest.mark.parametrize("label", ["gzip", "br"])
async def test_an_error_under_a_wrong_label(label: str, client_for: ClientFor) -> None:
    """The service's own words are read too."""
    step = reply(500, json=problem(500, "out of order"), headers={"Content-Encoding": label})
    async with ScriptedServer(step) as server:
        with pytest.raises(InternalServerResponseError, match="out of order"):
            await GET(client_for(server, retries=None))


def raw_deflate(body: bytes) -> bytes:
    """Pack as some servers do: deflate without zlib's frame."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKED = {
    "gzip": gzip.compress,
    "X-Gzip": gzip.compress,
    " deflate": zlib.compress,
    "deflate": raw_deflate,
    "identity": bytes,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
}


@pytest.mark.parametrize("call", [CREATE, GET, LIST], ids=str)
@pytest.mark.parametrize("label", PACKED)
async def test_packed_bodies(label: str, call: Call, client_for: ClientFor) -> None:
    """What the client says that it accepts, it reads; also a packed error."""
    body = PACKED[label](json.dumps(call.document).encode())
    step = reply(call.status, body=body, headers={"Content-Encoding": label})
    refusal = PACKED[label](json.dumps(problem(400, "packed words")).encode())
    no = reply(400, body=refusal, headers={"Content-Encoding": label})
    async with ScriptedServer(step, no) as server:
        client = client_for(server)
        answer = await call(client)
        with pytest.raises(OpenRouterError, match="packed words"):
            await call(client)
    if call is CREATE:
        assert (answer.key, answer.problem) == (NEW_KEY, None)


WRONG = {
    "gzip": b"\x1f\x8b\x08\x00" + bytes(range(200)),
    "deflate": b"\x78\x9c" + bytes(range(200)),
    "br": b"\x0b\x02\x80not brotli\x03",
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(range(50)),
    "gzip, gzip, gzip": gzip.compress(gzip.compress(gzip.compress(b"{}"))),
}


@pytest.mark.parametrize("call", [CREATE, GET, LIST], ids=str)
@pytest.mark.parametrize("label", WRONG)
async def test_what_cannot_be_unpacked(
    label: str, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """One request and one error, which says what the label claims."""
    step = reply(call.status, body=WRONG[label], headers={"Content-Encoding": label})
    async with ScriptedServer(default=step) as server:
        with pytest.raises(ResponseValidationError) as caught:
            await call(client_for(server, clock=clock))
    assert f"the Content-Encoding that it claims: {label}" in caught.value.message
    assert len(server.requests) == caught.value.attempts == 1
    assert isinstance(caught.value, AmbiguousCreateError) == (call is CREATE)


@pytest.mark.parametrize("label", ["gzip", "deflate"])
async def test_a_packed_answer_that_is_cut(
    label: str, client_for: ClientFor, clock: FakeClock
) -> None:
    """Cut by the connection or before it: repeated for a read, rescued for a create."""
    packed = PACKED[label](json.dumps(GET.document).encode())
    cut = reply(body=packed[:-20], headers={"Content-Encoding": label})
    lost = reply(body=packed, truncate=len(packed) - 40, headers={"Content-Encoding": label})
    async with ScriptedServer(cut, lost, GET.ok()) as server:
        await GET(client_for(server, clock=clock))
    assert len(server.requests) == 3

    document = {"key": NEW_KEY, "data": {**CREATE.document["data"], "name": "n" * 500}}
    packed = zlib.compressobj(0, wbits=31 if label == "gzip" else 15)
    body = packed.compress(json.dumps(document).encode()) + packed.flush()
    step = reply(201, body=body[:300], headers={"Content-Encoding": label})
    async with ScriptedServer(step) as server:
        created = await CREATE(client_for(server))
    assert created.key == NEW_KEY
    assert created.problem is not None


@pytest.mark.parametrize("label", ["gzip", "deflate"])
async def test_a_wrong_checksum_costs_no_key(label: str, client_for: ClientFor) -> None:
    """All of the answer is there, and only its last bytes are wrong."""
    packed = bytearray(PACKED[label](json.dumps(CREATE.document).encode()))
    packed[-6 if label == "gzip" else -1] ^= 0xFF
    if label == "deflate":  # which has a checksum in zlib's frame only
        packed = bytearray(zlib.compress(json.dumps(CREATE.document).encode()))
        packed[-1] ^= 0xFF
    step = reply(201, body=bytes(packed), headers={"Content-Encoding": label})
    async with ScriptedServer(step) as server:
        created = await CREATE(client_for(server))
    assert created.key == NEW_KEY
