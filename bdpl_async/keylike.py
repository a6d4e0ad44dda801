"""What looks like the key of an account, found in any text and hidden.

A key that was pasted where it does not belong must not come back in a message, a log or a file of
events. Known forms are recognised; a key without one is only found if the caller knows it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

__all__ = ["hidden", "known", "namelike"]

STARS = "***"
SHORTEST = 16  # characters of a value of the environment that is worth hiding
FORMS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    # A maker's mark and much that is random: no name has sixteen letters and digits in a row.
    r"(?:sk|rk|pk|gsk|csk|xai|hf|pplx|nvapi|r8|fw|gh[opsu]|github_pat|glpat)[-_]"
    r"(?=[\w-]*[0-9])(?=[\w-]*?(?:[A-Za-z0-9]{16}|[0-9a-f]{8}-[0-9a-f]{4}-))[\w-]+"
    r"|sk-(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{24,}"
    r"|AIza[\w-]{30,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?"
    r")"
    r"|(?<=Bearer )[^\s'\",;]{8,}"
    r"|(?<=://)[^/\s@:]*:[^/\s@]+(?=@)"  # the user and password of an address
)
SAYING = re.compile(r"(?:_|^)(?:KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)


def hidden(text: str, secrets: Collection[str] = ()) -> str:
    """`text` without what looks like a key, and without `secrets`."""
    for secret in secrets:
        text = text.replace(secret, STARS)
    return FORMS.sub(STARS, text)


def known(environ: Mapping[str, str]) -> list[str]:
    """The secrets that the environment holds, by the names of its variables; the longest first."""
    found = {
        value for name, value in environ.items() if SAYING.search(name) and len(value) >= SHORTEST
    }
    return sorted(found, key=len, reverse=True)


def namelike(name: str) -> bool:
    """Whether `name` may be that of an environment variable, and not a key in its place."""
    return name.isupper() or len(name) < 20 or not any(map(str.isdigit, name))
