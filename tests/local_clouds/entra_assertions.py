"""Client certificates of an application: one to sign in with, and the check of what was signed with it."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

_PADDINGS = {
    "RS256": padding.PKCS1v15(),
    "PS256": padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SHA256.digest_size),
}


class AssertionProblem(Exception):  # noqa: N818 - what is wrong with an assertion
    """Why an assertion is refused; `number` is that of AADSTS."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate and its key."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls) -> Self:
        """A new one, good for a day."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tap-offgridflow-azure")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, SHA256())
        )
        return cls(key, certificate)

    def pem(self, password: str | None = None) -> bytes:
        """Key and certificate in one text, as `azure-identity` takes them."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _protection(password))
        return key + self.certificate.public_bytes(Encoding.PEM)

    def pkcs12(self, password: str | None = None) -> bytes:
        """Both in the binary form that it takes, too."""
        return serialize_key_and_certificates(b"tap", self.key, self.certificate, None, _protection(password))


def _protection(password: str | None) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode()) if password else NoEncryption()


def check_assertion(
    assertion: str, certificates: Iterable[Certificate], client: str, endpoint: str, now: float
) -> None:
    """Look at a JWT that an application signed.

    Raises:
        AssertionProblem: It is none, or signed with another key, for another place or outside its time.
    """
    try:
        header, payload = (json.loads(_decoded(part)) for part in assertion.split(".")[:2])
        signature = _decoded(assertion.split(".")[2])
    except (ValueError, IndexError, binascii.Error):
        raise AssertionProblem(50027, "The assertion is not a JWT.") from None
    signed = assertion.rpartition(".")[0].encode()
    if not any(_signed_by(one, header.get("alg"), signature, signed) for one in certificates):
        raise AssertionProblem(
            700027, "The certificate with identifier used to sign the client assertion is not registered."
        )
    if not payload["iat"] <= now + 300 or now >= payload["exp"]:
        raise AssertionProblem(700024, "Client assertion is not within its valid time range.")
    if (payload["aud"], payload["iss"], payload["sub"]) != (endpoint, client, client):
        raise AssertionProblem(50012, "Client assertion is for another application or place.")


def _signed_by(certificate: Certificate, algorithm: Any, signature: bytes, signed: bytes) -> bool:
    if algorithm not in _PADDINGS:
        return False
    try:
        certificate.key.public_key().verify(signature, signed, _PADDINGS[algorithm], SHA256())
    except InvalidSignature:
        return False
    return True


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
