"""Where a Redis is: an address that may stand in a file, and what of it never does.

    rediss://USER@HOST:PORT/DATABASE?expire=7d&ca=FILE

The password comes from the environment, since an address is written to run.toml. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from bdpl_async.errors import ConfigError

__all__ = ["PASSWORD", "Address", "is_address"]

SCHEMES: Final = ("redis://", "rediss://")
PASSWORD: Final = "BDPL_REDIS_PASSWORD"  # noqa: S105  a name
USERNAME: Final = "BDPL_REDIS_USERNAME"
EXPIRE: Final = 30 * 86_400.0  # seconds
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
SHAPE: Final = "write redis://HOST:PORT/DATABASE, or rediss:// for TLS"


def is_address(setting: str | None) -> bool:
    """Whether a setting names a Redis, and not a file."""
    return (setting or "").lower().startswith(SCHEMES)


@dataclass(frozen=True, slots=True)
class Address:
    """One database of one Redis.

    Attributes:
        host: name or number.
        port: TCP.
        database: its number.
        username: None takes the environment's, else Redis' default user.
        tls: the connection is encrypted and the server's certificate verified.
        ca: a file of authorities to trust; None trusts the system's.
        expire: seconds that an answer is kept; None for ever.
    """

    host: str
    port: int = 6379
    database: int = 0
    username: str | None = None
    tls: bool = False
    ca: str | None = None
    expire: float | None = EXPIRE

    @classmethod
    def of(cls, key: str, text: str) -> Address:
        """What `text` says.

        Raises:
            ConfigError: naming `key`, never the address, which may hold a password.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
            asked = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        except ValueError:
            raise ConfigError(f"{key}: is no address of a Redis", hint=SHAPE) from None
        if parts.password is not None:
            raise ConfigError(
                f"{key}: holds a password, and would be written down with it",
                hint=f"take it out, and put it into the environment as {PASSWORD}",
            )
        if not is_address(text) or not host or parts.fragment:
            raise ConfigError(f"{key}: is no address of a Redis", hint=SHAPE)
        if more := sorted(asked.keys() - {"expire", "ca"}):
            raise ConfigError(f"{key}: {more[0]!r} is not known", hint="known: ?expire=7d&ca=FILE")
        return cls(
            host=host,
            port=port or 6379,
            database=_database(key, parts.path),
            username=unquote(parts.username) if parts.username else None,
            tls=parts.scheme.lower() == "rediss",
            ca=asked.get("ca") or None,
            expire=_seconds(key, asked["expire"]) if "expire" in asked else EXPIRE,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}/{self.database}"

    def options(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """What the client library is given, the password from the environment among it."""
        found: dict[str, Any] = {"host": self.host, "port": self.port, "db": self.database}
        if password := environ.get(PASSWORD):
            found["password"] = password
        if username := self.username or environ.get(USERNAME):
            found["username"] = username
        if self.tls:
            found |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
            found |= {"ssl_ca_certs": self.ca} if self.ca else {}
        return found


def _database(key: str, path: str) -> int:
    number = path.strip("/") or "0"
    if not number.isdecimal() or len(number) > 4:
        raise ConfigError(f"{key}: the database is a number, not {number[:40]!r}", hint=SHAPE)
    return int(number)


def _seconds(key: str, text: str) -> float | None:
    """How long answers are kept, as in 12h; None for ``never``."""
    if text == "never":
        return None
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None or not int(found[1]):
        raise ConfigError(f"{key}: expire={text[:40]!r} is no time", hint="90m, 12h, 7d or never")
    return int(found[1]) * UNITS[found[2]]
