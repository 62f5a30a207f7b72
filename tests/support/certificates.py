"""Certificates for `127.0.0.1` and `localhost`: a valid one, and one per kind of fault."""

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@cache
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="Test equipment")


def authority_pem() -> bytes:
    """Return the authority's certificate, for clients that read it from a file."""
    return _authority().cert_pem.bytes()


def trusting_client() -> ssl.SSLContext:
    """Build a client context that trusts only the authority."""
    return ssl.create_default_context(cadata=authority_pem().decode())


def good_server() -> ssl.SSLContext:
    """Build a server context that a trusting client accepts."""
    return _issued(_authority().issue_cert("127.0.0.1", "localhost"))


def wrong_name_server() -> ssl.SSLContext:
    """Build a server context whose certificate was issued for another host."""
    return _issued(_authority().issue_cert("elsewhere.example"))


def expired_server() -> ssl.SSLContext:
    """Build a server context whose otherwise valid certificate expired yesterday."""
    now = datetime.now(UTC)
    return _issued(
        _authority().issue_cert(
            "127.0.0.1",
            "localhost",
            not_before=now - timedelta(days=30),
            not_after=now - timedelta(days=1),
        )
    )


def self_signed_server() -> ssl.SSLContext:
    """Build a server context whose otherwise valid certificate is self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return _context(key_pem + certificate.public_bytes(serialization.Encoding.PEM))


def _issued(certificate: trustme.LeafCert) -> ssl.SSLContext:
    return _context(certificate.private_key_and_cert_chain_pem.bytes())


def _context(key_and_chain: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(key_and_chain)
        context.load_cert_chain(path)
    return context
