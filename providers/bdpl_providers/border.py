"""Where the errors of aiohttp become ours, and which proxy leads to a server.

An error of aiohttp may hold the request's headers, and so the key. None crosses this border: only
what is said here of it does.
"""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from bdpl_async.errors import BdplError, ConfigError, ProviderRefused, ProviderUnavailable

__all__ = ["across", "proxy_to"]

UNREADABLE = (aiohttp.ClientPayloadError, aiohttp.ClientResponseError)


def across(error: BaseException, what: str, url: str, timeout: float) -> BdplError:
    """`error`, of aiohttp or of the socket, as one of ours.

    Args:
        error: what was raised.
        what: who was asked for what, as in ``vllm/tiny: POST /completions``.
        url: the server's address, for hints.
        timeout: seconds that one exchange may take in all.
    """
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
        ConfigError: the proxy is not one of HTTP.
    """
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    host = url.host or ""
    if not found or _local(host) or proxy_bypass(host):
        return None
    try:
        proxy = URL(found if "://" in found else f"http://{found}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ConfigError(
            f"the proxy that the environment names for {url.scheme} is not an http:// address",
            hint=f"correct {url.scheme.upper()}_PROXY, or list {host} in NO_PROXY",
        )
    return proxy


def _local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _by_proxy(status: int, what: str) -> BdplError:
    if status == 407:
        return ProviderRefused(
            f"{what}: the proxy wants a user and a password", fate="unsent", hint="set HTTPS_PROXY"
        )
    return ProviderUnavailable(
        f"{what}: the proxy answered {status}", fate="unsent", hint="see HTTPS_PROXY and NO_PROXY"
    )


def _unsent(error: BaseException, what: str, url: str) -> BdplError:
    """No connection came about, so nothing was sent."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ProviderRefused(
            f"{what}: the certificate of {url} is not to be trusted{_reason(error)}",
            hint="name the authority that signed it by SSL_CERT_FILE; verifying is never skipped",
            fate="unsent",
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        problem, hint = "no secure connection", "is it http:// that the server speaks?"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        problem, hint = "the host's name is not known", "check base_url and the network"
    elif isinstance(error, aiohttp.ClientProxyConnectionError):
        problem, hint = "the proxy cannot be reached", "see HTTPS_PROXY and NO_PROXY"
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
