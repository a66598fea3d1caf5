"""A throw-away certificate authority: one file to trust, and a certificate for loopback."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

from tests.local_clouds.loopback import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path


class LocalAuthority:
    """An authority that nobody trusts unless told to, and the certificate of all stand-ins.

    Args:
        folder: Where its files go.

    Attributes:
        ca_file: PEM file that clients trust.
        certificate_file: PEM file of a certificate for localhost and 127.0.0.1, for servers of other makers.
        key_file: PEM file of its private key.
        server_context: The same for the stand-ins of our own.
    """

    def __init__(self, folder: Path) -> None:
        self.ca_file, self.certificate_file, self.key_file = (
            folder / name for name in ("ca.pem", "server.pem", "server.key")
        )
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", LOOPBACK)
        authority.cert_pem.write_to_path(self.ca_file)
        certificate.private_key_pem.write_to_path(self.key_file)
        for part in certificate.cert_chain_pems:
            part.write_to_path(self.certificate_file, append=True)
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.load_cert_chain(self.certificate_file, self.key_file)
