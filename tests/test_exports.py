"""What stands at top level is what users rely on: nothing more, and nothing lost unnoticed."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import openrouter_async
from openrouter_async import errors
from openrouter_async.sandbox import Sandbox

# From the documentation, so that a name can be neither dropped nor renamed by accident.
DOCUMENTED = {
    "APIKey",
    "AsyncOpenRouter",
    "CallOptions",
    "CreateKeysData",
    "CreateKeysLimitReset",
    "CreateKeysResponse",
    "DeleteKeysResponse",
    "GetCurrentKeyData",
    "GetCurrentKeyResponse",
    "GetKeyData",
    "GetKeyResponse",
    "LimitReset",
    "ListData",
    "ListResponse",
    "OMITTED",
    "OpenRouter",
    "RetryConfig",
    "Secret",
    "UpdateKeysData",
    "UpdateKeysLimitReset",
    "UpdateKeysResponse",
    "to_dict",
}


def test_all_is_the_public_namespace() -> None:
    """`__all__` names each public object that can be reached, and each of them can be."""
    reachable = {
        name
        for name in dir(openrouter_async)
        if not (name.startswith("_") or isinstance(getattr(openrouter_async, name), ModuleType))
    }
    assert reachable == {name for name in openrouter_async.__all__ if name != "__version__"}


def test_documented_names_are_exported() -> None:
    """Every name that the documentation uses is at top level."""
    assert set(openrouter_async.__all__) >= DOCUMENTED


def test_every_error_is_exported() -> None:
    """`except openrouter_async.AnyOfOurs` works without knowing the module."""
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.OpenRouterError)
        and not name.startswith("_")
    }
    assert public == set(errors.__all__)
    assert public <= set(openrouter_async.__all__)


def loaded_by(program: str, **settings: str) -> set[str]:
    """The modules that are loaded at the end of a program, which runs in its own process."""
    command = [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"]
    env = {**os.environ, **settings}
    return {
        *subprocess.run(command, stdout=subprocess.PIPE, check=True, env=env)
        .stdout.decode()
        .split()
    }


HEAVY = {"asyncio", "ssl", "html", "email", "aiohttp", "cattrs", "tenacity"}


def test_the_package_itself_loads_nothing() -> None:
    """Not even attrs: the command and the pytest plugin import it whatever they do."""
    loaded = loaded_by("import openrouter_async")
    assert not {"attr", "msgspec", *HEAVY} & loaded
    ours = {name for name in loaded if name.startswith("openrouter_async")}
    assert ours == {f"openrouter_async{name}" for name in ("", "._lazy", "._version")}


@pytest.mark.parametrize(
    "name", ["AsyncOpenRouter", "OpenRouter", "APIKey", "NotFoundResponseError"]
)
def test_an_import_loads_only_what_it_needs(name: str) -> None:
    """What is heavy comes with the first client, not with the import of its class."""
    loaded = loaded_by(f"from openrouter_async import {name}")
    ours = {"_transport", "_call", "_shared", "_portal", "_sync_resources", "api_keys"}
    ours |= {"provisioning", "bulk_changes", "audit", "report", "cli"}
    assert not HEAVY & loaded
    assert not {f"openrouter_async.{name}" for name in ours} & loaded
    assert name != "AsyncOpenRouter" or "openrouter_async.sync" not in loaded


def test_submodules_are_attributes() -> None:
    """`except openrouter_async.errors.X` needs no other import than that of the package."""
    loaded = loaded_by("import openrouter_async as o; o.errors.OpenRouterError, o.models.APIKey")
    assert {"openrouter_async.errors", "openrouter_async.models"} <= loaded


def test_a_client_loads_no_work_of_several_steps() -> None:
    """One that only lists keys does not pay for rotations, changes in bulk and audits."""
    loaded = loaded_by("import openrouter_async as o; o.OpenRouter('sk-or-v1-' + 64 * '0').close()")
    assert "aiohttp" in loaded
    ours = {"provisioning", "bulk", "bulk_changes", "audit", "report", "cli", "_careful"}
    assert not {f"openrouter_async.{name}" for name in ours} & loaded


def test_exact_responses_load_no_careful_decoding(tmp_path: Path) -> None:
    """`whoami`, workspaces, an audit, a create and a rotation do without cattrs."""
    program = """
import asyncio, os
import openrouter_async as o
from openrouter_async.provisioning import FileSink

async def main(folder):
    async with o.AsyncOpenRouter(os.environ["KEY"], server_url=os.environ["URL"]) as client:
        await client.api_keys.get_current_key_metadata()
        await client.workspaces.list()
        created = await client.api_keys.create("acme", limit=5)
        await client.api_keys.rotate(
            created.data.hash, sink=FileSink(folder + "/key"), journal_dir=folder + "/journal"
        )
        await client.audit()

asyncio.run(main(os.environ["FOLDER"]))
"""
    with Sandbox() as box:
        loaded = loaded_by(program, KEY=box.management_key, URL=box.url, FOLDER=str(tmp_path))
    assert "openrouter_async.provisioning._rotate" in loaded
    assert not {"cattrs", "openrouter_async._careful"} & loaded
