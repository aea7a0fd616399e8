"""The guard against calling where we should not (SSRF): which URLs, and which addresses behind them, may be called.

The theory. A URL is refused where two parsers could read it differently (odd numbers, userinfo, non-ASCII hosts,
backslashes). A name is resolved once; *every* address it has must be allowed, or the endpoint is refused; the
connection then goes to one of the addresses that were checked, so a name that changes its answer in between
(rebinding) gains nothing. Addresses are checked at every call, not only at registration.

Allowed are public unicast addresses and, since receivers on premises are private, the networks that the subscriber's
entry lists. What wraps an IPv4 address into IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is refused, whatever
`is_global` thinks of it; link-local (cloud metadata lives there), multicast and the unspecified address stay refused
even where listed.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from models.subscriber import Network, Subscriber

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]

_URL = re.compile(r"(?i:https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][!-~]*)?", re.ASCII)
_FORBIDDEN = re.compile(r'[\\#"<>^`{|}]')
_NUMBER_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_WRAPPED_IPV4 = tuple(
    IPv6Network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")


class RefusedEndpointError(ValueError):
    """A URL or an address that must not be called; the message says why, without showing the URL."""


class ResolutionFailedError(OSError):
    """The endpoint's name has no address, or its name server gives none."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What one subscriber's endpoint may be."""

    allow_http: bool = False
    allow_networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, subscriber: Subscriber) -> "AddressPolicy":
        return cls(subscriber.allow_http, subscriber.allow_networks)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL's host and port, read once."""

    scheme: str
    host: str
    port: int


def check_url(url: str, policy: AddressPolicy) -> Target:
    """Return the URL's host and port. Raises RefusedEndpointError; an address in the URL is checked, a name is not
    resolved.
    """
    if not url.isascii():
        raise RefusedEndpointError("the URL is not ASCII: write an international name in its xn-- form")
    if not url.isprintable() or " " in url:
        raise RefusedEndpointError("the URL holds a space, a line break or another control character")
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        raise RefusedEndpointError("the URL is neither https nor http")
    if "@" in re.split(r"[/?#]", url[len(scheme) + 3 :], maxsplit=1)[0]:
        raise RefusedEndpointError("the URL carries a user or a password")
    if not _URL.fullmatch(url) or _FORBIDDEN.search(url):
        raise RefusedEndpointError("the URL is not plain: https://host[:port]/path[?query] is")
    if scheme == "http" and not policy.allow_http:
        raise RefusedEndpointError("http is not encrypted: use https, or set allow_http")
    # The same parser that will make the call, so that nobody reads the URL another way.
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise RefusedEndpointError("the URL's host or port cannot be read") from None
    port = parsed.port if parsed.port is not None else (443 if scheme == "https" else 80)
    if not 0 < port < 65536:
        raise RefusedEndpointError("the port lies outside 1 to 65535")
    target = Target(scheme, parsed.raw_host.decode("ascii"), port)
    literal = literal_address(target.host)
    if literal is not None:
        check_address(literal, policy)
    return target


def literal_address(host: str) -> Address | None:
    """Return the address that a host spells out, None for a name. Raises RefusedEndpointError for other ways to write
    one.
    """
    if ":" in host:
        try:
            return IPv6Address(host)
        except ValueError:
            raise RefusedEndpointError("the URL's host is no IPv6 address") from None
    last = host.rstrip(".").rpartition(".")[2]
    if not _NUMBER_LABEL.fullmatch(last):
        if not last or any(not label or len(label) > 63 for label in host.removesuffix(".").split(".")):
            raise RefusedEndpointError("the URL's host is no name")
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        raise RefusedEndpointError("the URL's host is a number but not an address as in 192.0.2.1") from None


def check_address(address: Address, policy: AddressPolicy) -> None:
    """Raise RefusedEndpointError where the address must not be called."""
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        raise RefusedEndpointError("the address is unspecified, multicast or link-local")
    if any(address.version == network.version and address in network for network in policy.allow_networks):
        return
    if isinstance(address, IPv6Address):
        if any(address in network for network in _WRAPPED_IPV4):
            raise RefusedEndpointError("the address wraps an IPv4 address: use that one")
        if address not in _GLOBAL_UNICAST:
            raise RefusedEndpointError("the address is not public, and no entry of allow_networks holds it")
    if not address.is_global or address.is_reserved:
        raise RefusedEndpointError("the address is not public, and no entry of allow_networks holds it")


async def checked_addresses(host: str, port: int, policy: AddressPolicy, resolve: Resolver) -> list[Address]:
    """Return the addresses of a host, all of them allowed, in the resolver's order. Raises RefusedEndpointError,
    ResolutionFailedError.
    """
    literal = literal_address(host)
    if literal is not None:
        check_address(literal, policy)
        return [literal]
    found: list[Address] = []
    for text in await resolve(host, port):
        address = ip_address(text)  # a scoped address (fe80::1%eth0) keeps its scope and stays link-local
        check_address(address, policy)
        if address not in found:
            found.append(address)
    if not found:
        raise ResolutionFailedError("the name has no address")
    return found


async def check_endpoint(url: str, policy: AddressPolicy, resolve: Resolver) -> list[Address]:
    """Return the addresses a URL leads to now: the check at registration. Raises RefusedEndpointError,
    ResolutionFailedError.
    """
    target = check_url(url, policy)
    return await checked_addresses(target.host, target.port, policy, resolve)


def system_resolver(executor: Executor | None = None) -> Resolver:
    """Return a resolver that asks the system, in threads of its own where given: a slow name server holds nobody else
    up.
    """

    async def resolve(host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.run_in_executor(executor, _getaddrinfo, host, port)
        except (OSError, UnicodeError):
            raise ResolutionFailedError("the name cannot be resolved") from None
        return [str(info[4][0]) for info in infos]

    return resolve


def _getaddrinfo(host: str, port: int) -> list[tuple[object, object, int, str, tuple[object, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
