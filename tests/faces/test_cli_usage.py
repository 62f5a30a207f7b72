"""How the command is called: keys, options, help, and what is wrong in one line."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Inside, Result, run

from openrouter_async import __version__
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

COMMANDS = ["audit", "list", "get", "create", "update", "delete", "whoami", "workspaces", "sandbox"]
READS = ["audit", "list", "whoami", "workspaces"]
WITHOUT_EXTRA = (
    "import sys; sys.modules['typer'] = None; from openrouter_async.cli import main; "
    "sys.exit(main())"
)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox that nothing changes."""
    with Sandbox(keys=3) as box:
        yield box


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The command, in this process."""
    return Inside(capfd, monkeypatch)


class WhoAmI:
    """Asks the sandbox for the key in use."""

    def __init__(self, cli: Inside, box: Sandbox) -> None:
        self._cli = cli
        self._url = box.url

    def __call__(self, *arguments: str, stdin: bytes = b"", key: str | None = None) -> Result:
        """Run it."""
        env = {"OPENROUTER_BASE_URL": self._url} | ({"OPENROUTER_API_KEY": key} if key else {})
        return self._cli("whoami", *arguments, env=env, stdin=stdin)


@pytest.fixture
def whoami(cli: Inside, box: Sandbox) -> WhoAmI:
    """The command that any key may run."""
    return WhoAmI(cli, box)


@pytest.mark.parametrize("command", ["audit", "list", "whoami", f"get {EXAMPLE_HASH}", "create x"])
def test_without_a_key_it_says_what_to_set(cli: Inside, command: str) -> None:
    """One line that names the variable, and exit code 2."""
    result = cli(*command.split())
    assert result.code == 2
    assert "OPENROUTER_API_KEY" in result.complaint
    assert "--sandbox" in result.complaint
    assert result.out == ""


def test_key_from_the_environment(box: Sandbox, whoami: WhoAmI) -> None:
    """A newline at its end, as files have, does no harm."""
    assert whoami(key=box.management_key + "\n").code == 0


def test_key_from_a_file(box: Sandbox, whoami: WhoAmI, tmp_path: Path) -> None:
    """The file's trailing newline is dropped, and the file wins over the environment."""
    path = tmp_path / "key"
    path.write_text(box.management_key + "\r\n")
    path.chmod(0o600)
    result = whoami("--key-file", str(path), key="sk-or-v1-wrong")
    assert (result.code, result.err) == (0, "")
    assert "management key" in result.out


def test_a_key_file_that_others_can_read_is_warned_of(
    box: Sandbox, whoami: WhoAmI, tmp_path: Path
) -> None:
    """Secrets that are mounted into containers are often 0644, so it is no error."""
    path = tmp_path / "key"
    path.write_text(box.management_key)
    path.chmod(0o644)
    result = whoami("--key-file", str(path))
    assert result.code == 0
    assert result.err.startswith("warning: ")
    assert str(path) in result.err


def test_key_from_standard_input(box: Sandbox, whoami: WhoAmI) -> None:
    """As from `pass show openrouter | openrouter-keys whoami --key-stdin`."""
    assert whoami("--key-stdin", stdin=box.management_key.encode() + b"\n").code == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"planted secret",
        b"planted\nsecret\n",
        b"planted\x00",
        b"plant\xc3\xa9",
        b"planted" * 999,
    ],
)
def test_what_cannot_be_a_key_is_refused_without_showing_it(
    box: Sandbox, whoami: WhoAmI, tmp_path: Path, content: bytes
) -> None:
    """Refused before any request, from a file and from standard input alike."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    before = len(box.requests)
    for result in (
        whoami("--key-file", str(path)),
        whoami("--key-stdin", stdin=content),
    ):
        assert result.code == 2
        assert "plant" not in result.complaint
    assert len(box.requests) == before


def test_a_key_file_that_is_not_there(box: Sandbox, whoami: WhoAmI, tmp_path: Path) -> None:
    """The line names the file."""
    path = tmp_path / "absent"
    result = whoami("--key-file", str(path))
    assert result.code == 2
    assert str(path) in result.complaint


@pytest.mark.parametrize(
    "arguments",
    [
        "whoami --key-file x --key-stdin",
        "whoami --sandbox --key-stdin",
        "whoami --sandbox --server-url http://127.0.0.1:1",
        "list --sandbox --all --offset 3",
        "list --sandbox --columns nonsense",
        "list --sandbox --sort nonsense",
        "list --sandbox --created-after yesterday",
        "list --sandbox --workspace nonsense",
        "list --sandbox --offset -1",
        "list --sandbox --format nonsense",
        "list --sandbox --sandbox-keys -1",
        "list --sandbox --timeout 0",
        "list --sandbox --timeout nan",
        "list --sandbox --total-timeout x",
        "list --sandbox --output /nonexistent/x",
        "list --sandbox --output /",
        "get --sandbox ..",
        "create --sandbox x --limit nan",
        "create --sandbox x --limit -1",
        "create --sandbox x --limit-reset yearly",
        "create --sandbox x --expires-at 2026-12-31",
        "create --sandbox x --external-key-file me",
        "create --sandbox x --include-byok-in-limit --no-include-byok-in-limit",
        "create --sandbox x --sink somewhere",
        "create --sandbox x --sink file:",
        "create --sandbox x --sink vault:x",
        f"update --sandbox {EXAMPLE_HASH}",
        f"update --sandbox {EXAMPLE_HASH} --limit 1 --no-limit",
        f"update --sandbox {EXAMPLE_HASH} --enable --disable",
        "delete --sandbox --yes a#b",
        "sandbox --port 99999",
        "nonsense",
        "list --nonsense",
        "get",
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(cli: Inside, arguments: str) -> None:
    """Whatever is wrong is named, and no result is written."""
    result = cli(*arguments.split())
    assert (result.code, result.out) == (2, "")
    assert result.complaint


def test_plain_http_is_for_this_machine_unless_allowed(cli: Inside) -> None:
    """The line names the command's own option."""
    env = {"OPENROUTER_API_KEY": "sk-or-v1-planted"}
    result = cli("whoami", "--server-url", "http://192.0.2.1/api/v1", env=env)
    assert result.code == 2
    assert "--allow-insecure-http" in result.complaint


def test_a_key_in_argv_is_neither_taken_nor_repeated(cli: Inside) -> None:
    """Other people read argv; what stands there by mistake is not put into logs too."""
    key = "sk-or-v1-" + "0123456789abcdef" * 4
    for arguments in (["get", key], [key], ["whoami", f"--key={key}"], ["delete", "--yes", key]):
        result = cli(*arguments, env={"OPENROUTER_API_KEY": "sk-or-v1-other"})
        assert result.code == 2
        assert "0123456789" not in result.complaint


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(cli: Inside, command: str) -> None:
    """Each command explains itself, with examples, on the narrowest usual terminal."""
    result = cli(*command.split(), "--help", env={"COLUMNS": "80"})
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    assert "openrouter-keys " in result.out
    assert "Examples" in result.out or not command
    assert "…" not in result.out  # no option's name is cut


def test_help_says_exit_codes_and_environment(cli: Inside) -> None:
    """Without arguments it is the same help."""
    result = cli()
    assert result == cli("--help")
    for word in ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "NO_COLOR", "130:", *COMMANDS):
        assert word in result.out


def test_version() -> None:
    """The package's version, and which Python it runs on."""
    result = run("--version")
    assert (result.code, result.err) == (0, "")
    assert re.fullmatch(
        rf"openrouter-keys {re.escape(__version__)} \(Python 3[.\d]+\S*\)\n", result.out
    )


def test_without_the_extra_it_says_what_to_install() -> None:
    """`pip install openrouter_async` brings the command too, but not what it needs."""
    result = run(program=[sys.executable, "-c", WITHOUT_EXTRA])
    assert result.code == 2
    assert "pip install 'openrouter_async[cli]'" in result.complaint


def test_it_is_installed_as_a_command() -> None:
    """`openrouter-keys` stands beside Python."""
    program = Path(sys.executable).with_name(
        "openrouter-keys" + (".exe" if os.name == "nt" else "")
    )
    assert run("--version", program=[str(program)]).out == run("--version").out


def test_no_warning_of_python_itself() -> None:
    """Nothing is left open, and nothing deprecated is used."""
    strict = [sys.executable, "-W", "error", "-m", "openrouter_async.cli"]
    result = run("list", "--sandbox", "--all", program=strict)
    assert (result.code, result.err) == (0, "")
