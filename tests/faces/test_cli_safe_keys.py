"""`create --sink`, `rotate`, `recover` and `bulk`: as people and CI jobs meet them."""

import json
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import PROGRAM, Inside, Result, environment, run
from support.secrets import assert_not_leaked

from openrouter_async import APIKey
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """A sandbox for one test."""
    with Sandbox(keys=6) as box:
        yield box


class Keys:
    """The command with the sandbox's management key, and journals of its own."""

    def __init__(self, cli: Inside, box: Sandbox, state: Path) -> None:
        self._cli = cli
        self.journals = state / "openrouter_async/journal"
        self.env = {
            "OPENROUTER_BASE_URL": box.url,
            "OPENROUTER_API_KEY": box.management_key,
            "XDG_STATE_HOME": str(state),
        }
        self.said: list[str] = []

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run it."""
        result = self._cli(*arguments, env=self.env, stdin=stdin)
        self.said += [result.out, result.err]
        return result


@pytest.fixture
def keys(
    box: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Keys]:
    """The command, in this process; no plaintext is in what it says, and none in a wide file."""
    state = tmp_path_factory.mktemp("state")
    keys = Keys(Inside(capfd, monkeypatch), box, state)
    yield keys
    for key in box.keys:
        assert_not_leaked(box.inference_key(key.hash), *keys.said)
    assert_not_leaked(box.management_key, *keys.said)


def named(box: Sandbox, name: str) -> list[APIKey]:
    """The keys whose name begins with this."""
    return [key for key in box.keys if key.name.startswith(name)]


def assert_owner_only(folder: Path, secret: str) -> None:
    """Whatever file has the plaintext is its owner's only."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    holding = [path for path in files if secret in path.read_text(errors="replace")]
    assert holding
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}


def test_create_into_a_dotenv_file(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """The entry is added; one that is there is refused before a key exists."""
    path = tmp_path / ".env"
    assert keys("create", "acme", "--sink", f"dotenv:{path}:KEY").code == 0
    [key] = named(box, "acme")
    assert path.read_text() == f"KEY={box.inference_key(key.hash)}\n"
    assert_owner_only(tmp_path, box.inference_key(key.hash))
    again = keys("create", "acme", "--sink", f"dotenv:{path}:KEY")
    assert (again.code, "no key was created" in again.complaint) == (2, True)
    assert len(named(box, "acme")) == 1


def test_create_to_standard_output_with_a_journal(
    box: Sandbox, keys: Keys, capfd: pytest.CaptureFixture[str]
) -> None:
    """`--sink stdout` prints the plaintext alone."""
    result = keys("create", "acme", "--sink", "stdout")
    keys.said.clear()
    [key] = named(box, "acme")
    assert (result.code, result.out) == (0, box.inference_key(key.hash) + "\n")
    assert list(keys.journals.iterdir()) == []


def test_a_full_standard_output_keeps_the_plaintext(box: Sandbox, keys: Keys) -> None:
    """/dev/full takes nothing: the plaintext is in the journal, and can be sent elsewhere."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        result = run("create", "acme", "--sink", "stdout", env=keys.env, stdout=full)
    assert result.code == 3
    assert "recover" in result.err
    [key] = named(box, "acme")
    assert_owner_only(keys.journals, box.inference_key(key.hash))
    told = keys("recover")
    assert (told.code, "undelivered" in told.out) == (4, True)
    target = keys.journals.parent / "acme.key"
    assert keys("recover", "--resume", "--sink", f"file:{target}").code == 0
    assert target.read_text() == box.inference_key(key.hash) + "\n"


def test_rotation(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """From the first key to the end of the old one."""
    path = tmp_path / "acme.key"
    old = keys("create", "acme", "--limit", "5", "--sink", f"file:{path}").out.strip()
    before = path.read_text()
    result = keys("rotate", old, "--sink", f"file:{path}", "--replace")
    assert (result.code, path.read_text() != before) == (0, True)
    [new] = [key for key in named(box, "acme") if key.hash != old]
    assert result.out.strip() == new.hash
    assert path.read_text() == box.inference_key(new.hash) + "\n"
    assert_owner_only(tmp_path, box.inference_key(new.hash))
    waiting = keys("rotate", "--finish")
    assert (waiting.code, f"waiting {old}" in waiting.err) == (0, True)
    pending = keys("recover")
    assert (pending.code, "pending" in pending.out) == (0, True)
    finished = keys("rotate", "--finish", "--grace", "0s")
    assert (finished.code, f"deleted {old}" in finished.err) == (0, True)
    assert [key.hash for key in named(box, "acme")] == [new.hash]
    assert "no rotation is pending" in keys("rotate", "--finish").err


def test_rolling_back(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """The old key works again, and the new one is gone."""
    keys("rotate", EXAMPLE_HASH, "--sink", f"file:{tmp_path / 'x'}")
    before = len(box.keys)
    assert keys("rotate", EXAMPLE_HASH, "--roll-back").code == 0
    assert len(box.keys) == before - 1
    assert keys("rotate", EXAMPLE_HASH, "--roll-back").code == 3


def test_rotation_of_a_guarded_key(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """It is refused by name before anything is made; with permission it is said what is lost."""
    guardrail = box.assign_guardrail(EXAMPLE_HASH)
    path = tmp_path / "x"
    refused = keys("rotate", EXAMPLE_HASH, "--sink", f"file:{path}")
    assert (refused.code, path.exists()) == (3, False)
    assert f"would lack the guardrail {guardrail}" in refused.complaint
    assert "--allow-unguarded" in refused.complaint
    allowed = keys("rotate", EXAMPLE_HASH, "--sink", f"file:{path}", "--allow-unguarded")
    assert allowed.code == 0
    assert f"not carried over: the guardrail {guardrail}" in allowed.err
    assert "not carried over: the old key's entries, if any, in allow lists" in allowed.err
    pending = keys("recover")
    assert f"not carried over: the guardrail {guardrail}" in pending.out
    [document] = json.loads(keys("recover", "--format", "json").out)["data"]
    assert document["left_behind"][0] == f"the guardrail {guardrail}"


def test_rotation_of_a_lifetime_cap(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """What is left of it is told; of one that resets, what can be spent once more."""
    keys("create", "acme", "--limit", "5", "--sink", f"file:{tmp_path / 'x'}")
    [old] = named(box, "acme")
    box.spend(old.hash, 1.25)
    result = keys("rotate", old.hash, "--sink", f"file:{tmp_path / 'y'}")
    assert (result.code, "its limit is 3.75 USD, the remainder of 5.0 USD" in result.err) == (
        0,
        True,
    )
    box.spend(EXAMPLE_HASH, 10)
    result = keys("rotate", EXAMPLE_HASH, "--sink", f"file:{tmp_path / 'z'}")
    assert (result.code, "its limit is" in result.err) == (0, False)
    assert "USD more can be spent before it resets" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        "rotate",
        "rotate HASH",
        "rotate --sink stdout",
        "rotate HASH --sink stdout --finish",
        "rotate HASH --finish",
        "rotate --roll-back",
        "rotate ../x --sink stdout",
        "rotate HASH --sink nowhere:x",
        "rotate --finish --grace soon",
        "rotate --finish --grace -1h",
        "recover --sink stdout",
        "recover --dismiss nothing",
        "bulk create TABLE",
        "bulk delete TABLE --sink file:{name}",
        "bulk create TABLE --sink stdout",
        "bulk create TABLE --sink file:same",
        "bulk delete none.csv",
        "bulk explode TABLE",
    ],
)
def test_wrong_arguments(box: Sandbox, keys: Keys, tmp_path: Path, arguments: str) -> None:
    """One line, exit code 2, nothing changed."""
    table = tmp_path / "table.csv"
    table.write_text("name\na\nb\n")
    words = arguments.replace("HASH", EXAMPLE_HASH).replace("TABLE", str(table)).split()
    result = keys(*words)
    assert result.code == 2
    assert result.complaint
    assert {request.operation for request in box.requests} <= {"list"}


def test_an_ambiguous_create_is_recovered(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """The commands that it prints lead to the end."""
    box.fail("create", status=500, after_effect=True)
    assert keys("create", "acme", "--sink", f"file:{tmp_path / 'x'}").code == 5
    told = keys("recover")
    [key] = named(box, "acme")
    assert told.code == 4
    [document] = json.loads(keys("recover", "--format", "json").out)["data"]
    assert (document["state"], document["name"]) == ("maybe", "acme")
    assert [each["hash"] for each in document["candidates"]] == [key.hash]
    commands = [
        line.split()[1:] for line in told.out.splitlines() if line.startswith(("    o", "  o"))
    ]
    assert [keys(*command, *["--yes"] * (command[0] == "delete")).code for command in commands] == [
        0,
        0,
    ]
    assert named(box, "acme") == []
    assert "nothing is unfinished" in keys("recover").err


# bulk


def hashes(box: Sandbox) -> list[str]:
    """The keys of the sandbox."""
    return sorted(key.hash for key in box.keys)


def test_bulk_create_from_csv(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """Each key in a file of its own, whatever its name; the outcomes in order."""
    table = tmp_path / "new.csv"
    table.write_text("name,limit,limit_reset\nacme,5,daily\n../evil,,\nacme 3,null,\n")
    spec = f"file:{tmp_path}/{{index}}-{{name}}.key"
    dry = keys("bulk", "create", str(table), "--sink", spec, "--dry-run")
    assert (dry.code, dry.err.count("without a limit")) == (0, 2)
    assert named(box, "acme") == []
    result = keys("bulk", "create", str(table), "--sink", spec)
    assert result.code == 0
    assert [line.split("\t")[:2] for line in result.out.splitlines()] == [
        ["ok", "acme"], ["ok", "../evil"], ["ok", "acme 3"],
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.glob("*.key")) == [
        "0-acme.key", "1-___evil.key", "2-acme_3.key",
    ]  # fmt: skip
    for key in named(box, "acme"):
        assert_owner_only(tmp_path, box.inference_key(key.hash))


def test_bulk_update_flags_and_changes(box: Sandbox, keys: Keys) -> None:
    """NDJSON from standard input; the dry run says what would be widened."""
    first = hashes(box)[0]
    keys("update", first, "--limit", "5")
    lines = json.dumps({"hash": first, "limit": 50}).encode()
    dry = keys("bulk", "update", "-", "--dry-run", "--ndjson", stdin=lines)
    assert json.loads(dry.out)["widens"] == ["raises the limit from 5 to 50 USD"]
    assert "raises the limit" in dry.err
    assert keys("bulk", "update", "-", stdin=lines).code == 0
    assert next(key.limit for key in box.keys if key.hash == first) == 50


def test_bulk_delete_is_gone_on_with(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """What is done is not done again."""
    table, done = tmp_path / "hashes.csv", tmp_path / "done"
    wanted = [*hashes(box)[:3], "0" * 64]
    table.write_text("\n".join(["hash", *wanted]))
    first = keys("bulk", "delete", str(table), "--resume", str(done))
    assert (first.code, first.err.splitlines()[-1]) == (4, "3 ok, 1 failed")
    second = keys("bulk", "delete", str(table), "--resume", str(done))
    assert (second.code, second.err.splitlines()[-1]) == (3, "1 failed, 3 skipped")
    assert sum(request.operation == "delete" for request in box.requests) == 5


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("name,limt\na,1\n", "line 2: create has no parameter 'limt'"),
        ("name,limit\na,much\n", "line 2: invalid limit: 'much'"),
        ("name,limit\na\n", "line 2: more or fewer cells"),
        ('{"name": "a"}\nx\n', "line 2: not a JSON object"),
        ('name\n"a', "not CSV"),
        ("limit\n5\n", "[0].name is required"),
        ("name,limit\na,-1\n", "[0]: limit must be"),
        ("name,limit_reset\na,hourly\n", "[0]: limit_reset must be"),
    ],
)
def test_bulk_tables_that_are_wrong(
    box: Sandbox, keys: Keys, tmp_path: Path, table: str, problem: str
) -> None:
    """The line is named, and nothing is sent."""
    path = tmp_path / "table"
    path.write_text(table)
    result = keys("bulk", "create", str(path), "--sink", f"file:{tmp_path}/{{index}}")
    assert result.code == 2
    assert problem in result.complaint
    assert not box.requests


def test_bulk_ctrl_c(box: Sandbox, keys: Keys, tmp_path: Path) -> None:
    """Within 2 s: what was done, what may have been done, what was not tried; exit code 130."""
    table = tmp_path / "hashes"
    table.write_text("\n".join(["hash", *hashes(box)]))
    box.fail("update", delay=0)
    box.fail("update", delay=30)
    process = subprocess.Popen(
        [*PROGRAM, "bulk", "disable", str(table), "--concurrency", "1"],
        env=environment(**keys.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while sum(request.operation == "update" for request in box.requests) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 15
    assert process.returncode == 130, err
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        "ok", "ambiguous", *["skipped"] * 5,
    ]  # fmt: skip
    assert "interrupted: 1 ok, 1 ambiguous, 5 skipped" in err
    assert "Traceback" not in err
