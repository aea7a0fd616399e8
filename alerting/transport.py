"""The HTTP client of one endpoint: it dials only addresses that were just checked, and trusts nothing from its
surroundings.
"""

import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy

import httpx

from alerting.addresses import (
    Address,
    AddressPolicy,
    Resolver,
    check_url,
    checked_addresses,
    literal_address,
    system_resolver,
)
from models.subscriber import Subscriber

# Both write whole URLs into the log (and one of them headers), and a chat robot's URL is its password.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

CONNECT_SECONDS_MAX = 5.0
_IDLE_SECONDS = 30.0


class GuardedTransport(httpx.AsyncBaseTransport):
    """Checks each request's URL, resolves its host once, checks every address, and sends to one of those very
    addresses.

    The Host header, the server name of TLS and the name in its certificate stay those of the URL. Raises
    RefusedEndpointError, ResolutionFailedError, and what the inner transport raises.
    """

    def __init__(self, policy: AddressPolicy, resolve: Resolver, inner: httpx.AsyncBaseTransport) -> None:
        self._policy, self._resolve, self._inner = policy, resolve, inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = check_url(str(request.url), self._policy)
        addresses = await checked_addresses(target.host, target.port, self._policy, self._resolve)
        server_name = None if literal_address(target.host) else target.host
        *others, last = addresses
        for address in others:
            try:
                return await self._inner.handle_async_request(_pinned(request, address, server_name))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent: the next address may answer
        return await self._inner.handle_async_request(_pinned(request, last, server_name))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _pinned(request: httpx.Request, address: Address, server_name: str | None) -> httpx.Request:
    extensions = dict(request.extensions)
    if server_name is not None:
        extensions["sni_hostname"] = server_name
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )


class EndpointClient:
    """The client of one subscriber's endpoint, with connections and resolver threads of its own: nobody waits for
    another's.
    """

    def __init__(self, subscriber: Subscriber, resolve: Resolver | None = None) -> None:
        self.subscriber = subscriber
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix=f"resolve-{subscriber.name}")
        limits = httpx.Limits(
            max_connections=subscriber.concurrency,
            max_keepalive_connections=subscriber.concurrency,
            keepalive_expiry=_IDLE_SECONDS,
        )
        inner = httpx.AsyncHTTPTransport(verify=_ssl_context(subscriber), trust_env=False, limits=limits, retries=0)
        guarded = GuardedTransport(AddressPolicy.of(subscriber), resolve or system_resolver(self._threads), inner)
        seconds = subscriber.timeout_seconds
        self.http = httpx.AsyncClient(
            transport=guarded,
            headers=dict(subscriber.headers),
            timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS_MAX)),
            follow_redirects=False,
            trust_env=False,
        )
        # A receiver has nothing to remember in us.
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def aclose(self) -> None:
        """Close the connections; a resolver thread that hangs is not waited for."""
        await self.http.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ssl_context(subscriber: Subscriber) -> ssl.SSLContext:
    """Return what verifies the endpoint: its own authority where one is given, else the public ones; and what it is
    shown of us.
    """
    if subscriber.ca_file is not None:
        context = ssl.create_default_context(cafile=subscriber.ca_file)
    else:
        context = httpx.create_ssl_context(verify=True, trust_env=False)
    if subscriber.client_certificate is not None:
        # An empty password: a key that is encrypted must fail, not ask at a terminal that nobody watches.
        context.load_cert_chain(*subscriber.client_certificate, password="")
    return context
