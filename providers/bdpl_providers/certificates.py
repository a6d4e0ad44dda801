"""Whom to believe that a server is who it says: OpenSSL's authorities, or those the user names.

Certificates are always verified. ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` mean what they mean to
OpenSSL: a file of authorities, and a folder of them, in place of the system's own.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from bdpl_async.errors import ConfigError

__all__ = ["mistrust", "trusting"]

FILE, FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
EXPIRED, NOT_YET = 10, 9  # as OpenSSL numbers them
ANOTHERS = (62, 64)  # made out to another name, another address


def trusting(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """What every certificate is verified by.

    OpenSSL says nothing of a file that is not there, and then trusts nobody; we say it.

    Raises:
        ConfigError: a variable of the environment names nothing that could hold an authority.
    """
    context = ssl.create_default_context()
    if file := environ.get(FILE):
        try:
            context.load_verify_locations(cafile=file)
        except ssl.SSLError:
            raise _useless(FILE, file, "holds no certificate in PEM") from None
        except OSError as error:
            raise _useless(FILE, file, error.strerror or "cannot be read") from None
    if folders := environ.get(FOLDER):
        for folder in folders.split(os.pathsep):
            if not Path(folder).is_dir():
                raise _useless(FOLDER, folder, "is no folder")
    return context


def mistrust(error: Exception) -> str:
    """What to do about a certificate that does not hold."""
    code = getattr(error, "verify_code", None)
    if code in (EXPIRED, NOT_YET):
        return "whoever keeps the server must renew it; or is the clock of this machine wrong?"
    if code in ANOTHERS:
        return "give as base_url the name that stands in the certificate"
    return (
        f"export {FILE}=/path/to/ca.pem with the authority that signed it, perhaps your"
        " company's;\n  verifying is never skipped"
    )


def _useless(name: str, value: str, why: str) -> ConfigError:
    return ConfigError(
        f"{name}: {value[:200]!r}: {why}",
        hint=f"name the certificates to trust, or unset {name} to trust those of the system",
    )
