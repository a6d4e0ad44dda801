"""Where the errors of aiohttp become ours, and which proxy leads to a server.

An error of aiohttp may hold the request's headers, and so the key. None crosses this border: only
what is said here of it does.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from ipaddress import ip_address, ip_network
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from bdpl_async.errors import BdplError, ConfigError, ProviderRefused, ProviderUnavailable
from bdpl_providers.certificates import mistrust
from bdpl_providers.credentials import here

__all__ = ["FOREIGN", "Broken", "across", "proxy_to"]

UNREADABLE = (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, HttpProcessingError)
PROXY = "see HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment"
WHO = "write them, and an @, before the host in HTTPS_PROXY (or HTTP_PROXY)"


class Broken(Exception):
    """Raised in the stead of an error of aiohttp's that it would answer by asking again."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


FOREIGN = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, Broken)
"""What aiohttp and the socket raise, and `across` takes."""


def across(error: BaseException, what: str, url: str, timeout: float) -> BdplError:
    """`error`, of aiohttp or of the socket, as one of ours.

    Args:
        error: what was raised.
        what: who was asked for what, as in ``vllm/tiny: POST /completions``.
        url: the server's address, for hints.
        timeout: seconds that one exchange may take in all.
    """
    if isinstance(error, Broken):
        error = error.error
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return ConfigError(f"model.base_url: {url} cannot be used as an address")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _by_proxy(error.status, what)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return _unsent(error, what, url)
    if isinstance(error, TimeoutError):
        return ProviderUnavailable(
            f"{what}: no answer within {timeout:g} s",
            hint="raise --timeout, or lower --concurrency",
        )
    if isinstance(error, aiohttp.ServerDisconnectedError):
        problem = "the server closed the connection before it answered"
    elif isinstance(error, UNREADABLE):
        problem = "the answer broke off, or is no HTTP"
    else:
        problem = f"the connection broke{_reason(error)}"
    return ProviderUnavailable(f"{what}: {problem}", hint=f"see how the server at {url} is doing")


def proxy_to(url: URL) -> URL | None:
    """The proxy that the environment names for `url`, if any; none ever for this machine itself.

    Who sits behind a proxy expects it to be used, and a local server is not behind it. Resolved
    once by us: aiohttp's ``trust_env`` would ask the environment in a thread for each request, and
    take passwords from ``~/.netrc``.

    Raises:
        ConfigError: the proxy is not one of HTTP, or `url` holds a name that no host can have.
    """
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    host = _host(url)
    if not host:
        raise ConfigError(f"model.base_url: {url} cannot be used as an address")
    if not found or here(host) or proxy_bypass(f"{host}:{url.port}") or _spared(host):
        return None
    try:
        proxy = URL(found if "://" in found else f"http://{found}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not _host(proxy):
        raise ConfigError(
            f"the proxy that the environment names for {url.scheme} is not an http:// address",
            hint=f"correct {url.scheme.upper()}_PROXY, or list {host} in NO_PROXY",
        )
    return proxy


def _host(url: URL) -> str:
    """The name of its host; none if no host can have it, for then the lookup would fail oddly."""
    try:
        (url.raw_host or "").encode("idna")  # as the lookup does
        return url.host or ""
    except UnicodeError:
        return ""


def _spared(host: str) -> bool:
    """Whether ``NO_PROXY`` lists a range of addresses, as in ``10.0.0.0/8``, that `host` is in."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for part in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(","):
        try:
            if "/" in part and address in ip_network(part.strip(), strict=False):
                return True
        except ValueError:
            continue  # no range of addresses; what it is has been looked at
    return False


def _by_proxy(status: int, what: str) -> BdplError:
    if status == 407:
        return ProviderRefused(
            f"{what}: the proxy does not let us through without the right user and password",
            fate="unsent",
            hint=WHO,
        )
    return ProviderUnavailable(
        f"{what}: the proxy answered {status} instead of leading there", fate="unsent", hint=PROXY
    )


def _unsent(error: BaseException, what: str, url: str) -> BdplError:
    """No connection came about, so nothing was sent."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ProviderRefused(
            f"{what}: the certificate of {url} is not to be trusted{_reason(error)}",
            hint=mistrust(error.certificate_error),
            fate="unsent",
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        problem, hint = "no secure connection", "is it http:// that the server speaks?"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        problem, hint = "the host's name is not known", "check base_url and the network"
    elif isinstance(error, aiohttp.ClientProxyConnectionError):
        problem, hint = f"the proxy at {error.host}:{error.port} gives no connection", PROXY
    else:
        problem, hint = "no connection", f"is the server running at {url}?"
    return ProviderUnavailable(
        f"{what}: {problem} to {url}{_reason(error)}", hint=hint, fate="unsent"
    )


def _reason(error: BaseException) -> str:
    """What the operating system or OpenSSL calls it; never the whole text of a foreign error."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "verify_message", None) or cause.reason
    else:
        reason = cause.strerror if isinstance(cause, OSError) else None
    return f" ({reason})" if reason and not isinstance(error, asyncio.TimeoutError) else ""
