"""The certificate authority of the canned TLS server, which exists for one run only.

Its certificate is in the environment, so that child processes trust the server too.
"""

import os
import ssl
from typing import Final

VARIABLE: Final = "BENCHMARKS_CA"


def server_side() -> tuple[ssl.SSLContext, str]:
    """Return a context for a server on loopback, and the certificate for `VARIABLE`."""
    import trustme  # only here, so that clients do not need it

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, authority.cert_pem.bytes().decode()


def client_side(url: str) -> ssl.SSLContext | None:
    """Return a context that trusts the canned server; None for a URL without TLS."""
    if not url.startswith("https:"):
        return None
    return ssl.create_default_context(cadata=os.environ[VARIABLE])
