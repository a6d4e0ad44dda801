"""Where a server is and what opens it: the base URL as configured, the key from the environment.

Pure: the environment is passed in. No message of this module holds a key or a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from bdpl_async.errors import ConfigError
from bdpl_async.keylike import hidden, namelike

__all__ = ["checked_url", "exposed", "here", "key_from"]

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
EXAMPLE = "for example http://localhost:8000/v1"


def checked_url(url: str) -> str:
    """`url` without a slash at its end.

    Raises:
        ConfigError: it is not an http or https address of a host, or holds more than that and a
            path: a user, a query or a fragment, each of which may be a secret.
    """
    url = url.strip()
    for sign, part in (("@", "a user name or password"), ("?", "a query"), ("#", "a fragment")):
        if sign in url:
            raise ConfigError(
                f"model.base_url: the address holds {part} ({sign!r})",
                hint="give scheme, host, port and path alone; keys come from the environment",
            )
    if not url.isprintable() or " " in url or "\\" in url:
        raise ConfigError(f"model.base_url: {url!r} holds a character no URL has", hint=EXAMPLE)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"model.base_url: {url!r}: {error}", hint=EXAMPLE) from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ConfigError(
            f"model.base_url: {url!r} is not an http:// or https:// address", hint=EXAMPLE
        )
    if hidden(url) != url:
        raise ConfigError(
            "model.base_url: the address holds what looks like a key",
            hint="give scheme, host, port and path alone; keys come from the environment",
        )
    return url.rstrip("/")


def here(host: str) -> bool:
    """Whether `host` is a name or an address that always means this machine itself."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def exposed(
    who: str, url: str, env_name: str | None, default: str | None, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """A warning, if a key would go over a network in the clear.

    A private network is one too: others are in it. What stays in this machine nobody overhears.

    Args:
        who: the scorer's name.
        url: of the server, as `checked_url` gives it back.
        env_name: the variable that the user names.
        default: the variable that is looked at otherwise.
        environ: the environment.
    """
    parts = urlsplit(url)
    name = env_name or default
    if parts.scheme != "http" or here(parts.hostname or "") or not name or not environ.get(name):
        return ()
    return (
        f"{who}: the key in {_shown(name)} goes to http://{parts.netloc} without encryption, and"
        " whoever is on the way can read it; use https://, or a tunnel to localhost",
    )


def key_from(
    env_name: str | None, default: str | None, *, required: bool, environ: Mapping[str, str]
) -> str | None:
    """The account's key, or None where there is none and none is needed.

    Args:
        env_name: the variable that the user names; it must hold a key.
        default: the variable that is looked at otherwise.
        required: whether the provider needs a key at all.
        environ: the environment.

    Raises:
        ConfigError: the key is missing, or is not printable ASCII without spaces.
    """
    if env_name is not None and not VARIABLE.fullmatch(env_name):
        raise ConfigError(
            "model.api_key_env: this is not the name of an environment variable",
            hint="give the variable's name, never the key itself, as in OPENAI_API_KEY",
        )
    name = env_name or default
    key = environ.get(name, "").strip() if name else ""
    if name and key:
        return _clean(key, name)
    if env_name is not None:
        raise ConfigError(
            f"model.api_key_env: the environment variable {_shown(env_name)} is unset or empty",
            hint=f"export {_shown(env_name)}=... with the key, or name another variable",
        )
    if required:
        raise ConfigError(
            f"no key: the environment variable {name or 'for it'} is unset or empty",
            hint=f"export {name or 'VARIABLE'}=... with the key, or name another variable by "
            "--api-key-env",
        )
    return None


def _clean(key: str, name: str) -> str:
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            f"the key in {_shown(name)} holds a space, a control character or one outside ASCII",
            hint="set the variable to the key alone, without quotes, line breaks or comments",
        )
    return key


def _shown(name: str) -> str:
    """`name`, unless it may be a key that was given in a name's place."""
    return name if namelike(name) else "(named by --api-key-env)"
