"""A certificate authority for tests, by the openssl command: good, expired and wrong ones."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

__all__ = ["Authority"]

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs for servers; `file` is what a client must trust.

    Args:
        folder: where its files go.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl command to make certificates")
        self.folder = folder
        self.file = folder / "ca.pem"
        self._run("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")

    def server(self, name: str, days: int = 2) -> ssl.SSLContext:
        """TLS for a server whose certificate holds `name`, as in ``IP:127.0.0.1``.

        Args:
            name: a subjectAltName.
            days: from now to its end; -1 makes one that has expired.
        """
        stem = f"{name.partition(':')[2]}{days}"
        request, signed = f"{stem}.csr", f"{stem}.pem"
        subject = ("-subj", "/CN=server", "-addext", f"subjectAltName={name}")
        self._run("req", "-new", *CURVE, "-keyout", f"{stem}.key", "-out", request, *subject)
        by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-copy_extensions", "copy")
        self._run("x509", "-req", "-in", request, *by, "-days", str(days), "-out", signed)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / signed, self.folder / f"{stem}.key")
        return context

    def hashed(self) -> Path:
        """A folder that holds the authority as OpenSSL looks for it."""
        folder = self.folder / "hashed"
        folder.mkdir(exist_ok=True)
        name = self._run("x509", "-hash", "-noout", "-in", "ca.pem").strip()
        shutil.copy(self.file, folder / f"{name}.0")
        return folder

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout
