"""The blocking client in a real Jupyter kernel, whose event loop already runs."""

import nbformat
import pytest
from nbclient import NotebookClient

from openrouter_async.sandbox import Sandbox

SETUP = """
from openrouter_async import OpenRouter, AsyncOpenRouter
url, key = {url!r}, {key!r}
"""


def execute(*cells: str) -> list[str]:
    """Run cells in a fresh kernel; give the text of each one's result."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return [
        "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        )
        for cell in notebook.cells
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_both_clients_in_a_kernel() -> None:
    """The blocking client answers though the kernel's loop runs; the async one is awaited there."""
    with Sandbox() as box:
        results = execute(
            SETUP.format(url=box.url, key=box.management_key),
            "import asyncio; asyncio.get_running_loop().is_running()",
            "client = OpenRouter(api_key=key, server_url=url)\nlen(client.api_keys.list().data)",
            "new = client.api_keys.create('notebook')\nnew",
            "[key.name for key in client.api_keys.iter()][0]",
            "async with AsyncOpenRouter(api_key=key, server_url=url) as other:\n"
            "    page = await other.api_keys.list()\n"
            "len(page.data)",
        )
        assert results[1:3] == ["True", "1"]
        assert "Secret(***)" in results[3]
        assert "sk-or-v1-" not in results[3].replace(box.keys[0].label, "")
        assert results[4:] == ["'notebook'", "2"]
