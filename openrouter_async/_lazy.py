"""Packages that import each of their names on first use."""

import sys
from collections.abc import Callable
from importlib import import_module


def lazily(package: str, *modules: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package whose `__all__` is defined in these modules.

    A name is looked for in one module after the other, so a module should come after those that it
    imports. The modules themselves are attributes too, as if the package had imported them.
    """

    def find(name: str) -> object:
        names = vars(sys.modules[package])
        if name in modules:
            return import_module(f"{package}.{name}")
        if name in names["__all__"]:
            for module in modules:
                contents = vars(import_module(f"{package}.{module}"))
                if name in contents:
                    names[name] = contents[name]
                    return contents[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def list_names() -> list[str]:
        names = vars(sys.modules[package])
        return sorted({*names, *names["__all__"]})

    return find, list_names
