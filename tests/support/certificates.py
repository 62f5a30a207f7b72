"""Certificates for `127.0.0.1` and `localhost`: a valid one, and one per kind of fault."""

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache

import trustme


@cache
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="Test equipment")


def authority_pem() -> bytes:
    """Return the authority's certificate, for clients that read it from a file."""
    return _authority().cert_pem.bytes()


@cache
def trusting_client() -> ssl.SSLContext:
    """Build a client context that trusts only the authority."""
    return ssl.create_default_context(cadata=authority_pem().decode())


@cache
def good_server() -> ssl.SSLContext:
    """Build a server context that a trusting client accepts."""
    return _issued(_authority().issue_cert("127.0.0.1", "localhost"))


def wrong_name_server() -> ssl.SSLContext:
    """Build a server context whose certificate was issued for another host."""
    return _issued(_authority().issue_cert("elsewhere.example"))


def expired_server() -> ssl.SSLContext:
    """Build a server context whose otherwise valid certificate expired yesterday."""
    now = datetime.now(UTC)
    begin, end = now - timedelta(days=30), now - timedelta(days=1)
    return _issued(
        _authority().issue_cert("127.0.0.1", "localhost", not_before=begin, not_after=end)
    )


def self_signed_server() -> ssl.SSLContext:
    """Build a server context whose certificate is self-signed."""
    own = trustme.CA()
    return _context(own.private_key_pem.bytes() + own.cert_pem.bytes())


def _issued(certificate: trustme.LeafCert) -> ssl.SSLContext:
    return _context(certificate.private_key_and_cert_chain_pem.bytes())


def _context(key_and_chain: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.Blob(key_and_chain).tempfile() as path:
        context.load_cert_chain(path)
    return context
