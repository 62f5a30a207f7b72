"""The examples of the official documentation, as they stand there but for the import line."""

import runpy
from pathlib import Path

import pytest

from openrouter_async import InvalidRequestError, NotFoundResponseError
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

OFFICIAL_IMPORT = "from openrouter import OpenRouter"
OUR_IMPORT = "from openrouter_async import OpenRouter"
FRAME = """
{import_line}
import os


with OpenRouter(
    http_referer="<value>",
    x_open_router_title="<value>",
    x_open_router_categories="<value>",
    api_key=os.getenv("OPENROUTER_API_KEY", ""),
) as open_router:

    res = open_router.api_keys.{call}

    # Handle response
    print(res)
"""
CALLS = {
    "get_current_key_metadata": "get_current_key_metadata()",
    "list": "list()",
    "create": 'create(name="My New API Key")',
    "get": f'get(hash="{EXAMPLE_HASH}")',
    "update": f'update(hash="{EXAMPLE_HASH}")',
    "delete": f'delete(hash="{EXAMPLE_HASH}")',
}


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The service, as far as the examples can tell."""
    with Sandbox() as box:
        monkeypatch.setenv("OPENROUTER_API_KEY", box.management_key)
        monkeypatch.setenv("OPENROUTER_BASE_URL", box.url)
        yield box


def run(call: str, folder: Path) -> None:
    """Run one example with our import line."""
    path = folder / "example.py"
    path.write_text(FRAME.format(import_line=OUR_IMPORT, call=call), "utf-8")
    runpy.run_path(str(path))


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"update"}))
def test_example_runs(
    name: str, box: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It makes its request and prints a response of the documented name."""
    run(CALLS[name], tmp_path)
    assert [request.operation for request in box.requests] == [name]
    assert "Response(" in capsys.readouterr().out


def test_the_example_of_update_has_nothing_to_change(box: Sandbox, tmp_path: Path) -> None:
    """It gives no field: the service answers 400 by now, and we refuse it before sending."""
    with pytest.raises(InvalidRequestError, match="at least one field"):
        run(CALLS["update"], tmp_path)
    assert len(box.requests) == 0
    run(f'update(hash="{EXAMPLE_HASH}", name="Updated")', tmp_path)
    assert box.keys[-1].name == "Updated"


def test_delete_then_get(box: Sandbox, tmp_path: Path) -> None:
    """The example's delete is a real one."""
    run(CALLS["delete"], tmp_path)
    with pytest.raises(NotFoundResponseError):
        run(CALLS["get"], tmp_path)
