"""Loopback ports that refuse connections, stay silent, or never complete a connection."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def refused_port() -> Iterator[int]:
    """Yield a port that refuses connections during the block."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound but not listening, so no other program can take it
        yield holder.getsockname()[1]


@contextmanager
def mute_port() -> Iterator[int]:
    """Yield a port that accepts connections and bytes but never sends any, not even for TLS."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield listener.getsockname()[1]


@contextmanager
def unconnectable_port() -> Iterator[int]:
    """Yield a port on which connecting neither succeeds nor fails."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # On Linux, connecting hangs while the queue of pending connections is full.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
