"""Keys and certificates of a run that spans hosts.

The launcher has an authority, in its memory. Each process makes a key, in its memory,
and sends the public half over its control connection. The authority signs it, for a
name that says nothing: names are sent in clear when a connection is made. So no private
key is sent or written, and who connects to a process checks that it is the one meant,
and not one that was started in its place.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from acmelike.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec


class Certificate(NamedTuple):
    """What the authority gives to a process.

    Attributes:
      name: that it is for.
      pem: of the process.
      authority: of the authority, by which all others are checked.
    """

    name: str
    pem: bytes
    authority: bytes


class Authority:
    """Signs the public keys of a run's processes.

    Args:
      secret: makes the same authority wherever it is known; None for a new one.

    Raises:
      ConfigError: the package for it is not installed.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError:
            raise ConfigError(
                "edges between hosts, and nodes that are exposed with TLS, need the "
                "package cryptography: "
                "pip install 'acmelike[cluster]'"
            ) from None
        if secret is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._name = f"run-{secrets.token_hex(8)}"
        else:
            self._key = ec.derive_private_key(_stretched(secret), ec.SECP256R1())
            self._name = "shared"
        self._pem = self._signed(self._key.public_key(), self._name, is_authority=True)

    def sign(self, public_key: bytes, name: str = "") -> Certificate:
        """A certificate for a public key, as PEM, under a name, or under a new one."""
        from cryptography.hazmat.primitives import serialization

        name = name or f"process-{secrets.token_hex(8)}"
        key: Any = serialization.load_pem_public_key(public_key)
        return Certificate(name, self._signed(key, name), self._pem)

    def _signed(
        self, key: ec.EllipticCurvePublicKey, name: str, is_authority: bool = False
    ) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        # The clocks of hosts may differ, and a run may take long.
        begins = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
        ends = datetime.datetime(9999, 12, 31, tzinfo=datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self._name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(
                x509.BasicConstraints(ca=is_authority, path_length=None), critical=True
            )
            .add_extension(_usage(is_authority), critical=True)
        )
        # Strict callers, such as Python 3.13 by default, ask for all of these.
        own_key = self._key.public_key()
        extensions: list[x509.ExtensionType] = [
            x509.SubjectAlternativeName([x509.DNSName(name)]),
            x509.SubjectKeyIdentifier.from_public_key(key),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key),
        ]
        if not is_authority:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            extensions.append(x509.ExtendedKeyUsage(both))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


class Identity:
    """The key of this process, and what the authority has signed.

    Attributes:
      public_key: as PEM, to be signed.
      name: of the certificate; "" before `take`.
      authority: the certificate of the authority, as PEM; after `take`.
      server: context for those who connect to this process, after `take`.
      exposed: likewise for programs that are not of the run, and have no certificate.
      client: context for connections of this process, after `take`.
    """

    authority: bytes
    server: ssl.SSLContext
    exposed: ssl.SSLContext
    client: ssl.SSLContext

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        self._private_key = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.public_key: bytes = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.name = ""

    def take(self, certificate: Certificate) -> None:
        """Takes what the authority has signed."""
        import ssl

        self.name, self.authority = certificate.name, certificate.authority
        self.server = self._context(ssl.PROTOCOL_TLS_SERVER, certificate)
        self.exposed = self._context(ssl.PROTOCOL_TLS_SERVER, certificate)
        self.exposed.verify_mode = ssl.CERT_NONE
        self.client = self._context(ssl.PROTOCOL_TLS_CLIENT, certificate)

    def _context(self, protocol: int, certificate: Certificate) -> ssl.SSLContext:
        import ssl

        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=certificate.authority.decode())
        _load(context, certificate.pem + self._private_key)
        return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Gives a context a certificate and its key, which `ssl` reads from files only."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("acmelike-certificate", os.MFD_CLOEXEC)
        try:
            os.write(fd, pem)
            context.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        return
    # Without memory that has a path, a file that only this user can read, for a moment.
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)


def _stretched(secret: bytes) -> int:
    """A number that is a private key, and takes long to compute for each guess."""
    salt = b"acmelike authority"
    digest = hashlib.scrypt(secret, salt=salt, n=2**14, r=8, p=1, dklen=40)
    # 64 bits more than the order of the curve, so that all keys are alike probable.
    return int.from_bytes(digest, "big") % (_ORDER - 1) + 1


# Of the curve P-256; see FIPS 186-4, D.1.2.3.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _usage(is_authority: bool) -> x509.KeyUsage:
    """What a key may do: sign certificates, or prove whose it is."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
