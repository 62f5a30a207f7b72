"""Ports of the loopback address that refuse, stay silent, or do not even take a connection."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from support.server import NO_STEP_LEFT, ScriptedServer
from support.steps import Handler, Step


@contextmanager
def refused_port() -> Iterator[int]:
    """Return a port that refuses connections for as long as the block lasts."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can take it either
        yield holder.getsockname()[1]


@contextmanager
def mute_port() -> Iterator[int]:
    """Return a port that takes connections and bytes, and never sends one (no TLS greeting)."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield listener.getsockname()[1]


@contextmanager
def unconnectable_port() -> Iterator[int]:
    """Give a port on which connecting neither succeeds nor fails (on Linux: its queue is full)."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class RefuseThenServe(ScriptedServer):
    """A scripted server whose port refuses connections at first.

    It does so for `up_after` seconds, or, where that is None, until `up()` is called.
    """

    def __init__(
        self,
        *steps: Step,
        up_after: float | None = None,
        default: Step = NO_STEP_LEFT,
        handler: Handler | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare it, as a `ScriptedServer` is."""
        super().__init__(*steps, default=default, handler=handler, tls=tls, up_after=up_after)
