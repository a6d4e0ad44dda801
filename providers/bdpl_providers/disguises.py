"""The forms in which a server may send a key back: as it is, encoded, or as its digest.

Pure. What is listed here is hidden wherever a server's words are shown or kept.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from urllib.parse import quote

__all__ = ["disguises"]

DIGESTS = ("sha256", "sha512", "sha1", "md5")
SHORTEST = 12  # characters of a form that is not the key itself; fewer stand in any text
ESCAPE = re.compile("%[0-9A-F]{2}")


def disguises(key: str | None) -> tuple[str, ...]:
    """What no message repeats: `key`, its SHA-256, and all else that gives it away.

    Its digests are among them: gateways call a key by one, and a weak key can be guessed from it.
    Of base64 there are three alignments, as in that of ``user:key``, without the letters that
    depend on what stands around the key.
    """
    if not key:
        return ()
    raw = key.encode()
    first, *digests = [
        hashlib.new(name, raw, usedforsecurity=False).hexdigest() for name in DIGESTS
    ]
    quoted = [quote(key), quote(key, safe="")]
    quoted += [ESCAPE.sub(lambda found: found[0].lower(), one) for one in quoted]
    packed = [_packed(raw, shift) for shift in range(3)]
    packed += [one.translate(str.maketrans("+/", "-_")) for one in packed]
    hexed = [*digests, raw.hex()]
    hexed += [one.upper() for one in (first, *hexed)]
    found = [one for one in (*quoted, *packed, *hexed) if len(one) >= SHORTEST]
    return tuple(dict.fromkeys((key, first, *found)))


def _packed(raw: bytes, shift: int) -> str:
    """What base64 makes of `raw` behind `shift` other bytes, as far as they have no say in it."""
    first, last = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
    return b64encode(bytes(shift) + raw).decode()[first:last]
