"""The guard against calling where we should not: every endpoint that must be refused, and those that must not."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from alerting.addresses import (
    AddressPolicy,
    RefusedEndpointError,
    ResolutionFailedError,
    Resolver,
    check_address,
    check_endpoint,
    check_url,
)
from models.subscriber import parse_network

DEFAULT = AddressPolicy()
ON_PREMISES = AddressPolicy(allow_http=True, allow_networks=(ip_network("127.0.0.0/8"), ip_network("10.20.0.0/16")))


def resolver(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/hook",  # not encrypted
        "https://user@receiver.example/hook",
        "https://user:hunter2@receiver.example/hook",
        "https://receiver.example:80@10.0.0.1/",
        "file:///etc/passwd",
        "ftp://receiver.example/hook",
        "gopher://receiver.example/",
        "//receiver.example/hook",
        "receiver.example/hook",
        "https:receiver.example/hook",
        "https:///hook",
        "https://",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://0x7f.0.0.1/hook",
        "https://0177.0.0.1/hook",
        "https://127.0.0.1./hook",
        "https://127。0。0。1/hook",
        "https://１２７.0.0.1/hook",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://[::ffff:7f00:1]/hook",
        "https://[::127.0.0.1]/hook",
        "https://[64:ff9b::a00:1]/hook",
        "https://[64:ff9b:1::a00:1]/hook",
        "https://[2002:a00:1::]/hook",
        "https://[2001:0:a00:1::1]/hook",
        "https://[fec0::1]/hook",
        "https://[fe80::1%25eth0]/hook",
        "https://[fd00::1]/hook",
        "https://[ff02::1]/hook",
        "https://[::]/hook",
        "https://[1.2.3.4]/hook",
        "https://0.0.0.0/hook",
        "https://10.0.0.1/hook",
        "https://100.64.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://172.16.0.1/hook",
        "https://192.168.0.1/hook",
        "https://224.0.0.1/hook",
        "https://240.0.0.1/hook",
        "https://255.255.255.255/hook",
        "https://receiver.example:99999/hook",
        "https://receiver.example:0/hook",
        "https://receiver.example:-1/hook",
        "https://receiver.example:https/hook",
        "https://receiver.example\r\nX-Injected: 1/hook",
        "https://receiver.example/hook\r\nX-Injected: 1",
        "https://receiver.example/hook\n",
        "https://receiver.example/ hook",
        "https://receiver.example\\@10.0.0.1/hook",
        "https://receiver.example/hook#fragment",
        "https://receiver%2eexample/hook",
        "https://.example/hook",
        "https://a..b/hook",
        "https://政务.example/hook",
    ],
)
def test_refused_at_registration(url: str) -> None:
    with pytest.raises(RefusedEndpointError) as refused:
        check_url(url, DEFAULT)
    assert "receiver" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://receiver.example/hook", "receiver.example", 443),
        ("https://receiver.example:8443/hook?key=1", "receiver.example", 8443),
        ("https://xn--mxtq1m.example/", "xn--mxtq1m.example", 443),
        ("https://8.8.8.8/hook", "8.8.8.8", 443),
        ("https://[2606:4700:4700::1111]/hook", "2606:4700:4700::1111", 443),
        ("HTTPS://Receiver.Example/Hook", "receiver.example", 443),
    ],
)
def test_taken_at_registration(url: str, host: str, port: int) -> None:
    target = check_url(url, DEFAULT)
    assert (target.host, target.port) == (host, port)


def test_http_and_private_addresses_only_where_the_entry_allows_them() -> None:
    assert check_url("http://127.0.0.1:8080/hook", ON_PREMISES).port == 8080
    assert check_url("https://10.20.3.4/hook", ON_PREMISES).host == "10.20.3.4"
    with pytest.raises(RefusedEndpointError):
        check_url("https://10.21.0.1/hook", ON_PREMISES)
    with pytest.raises(RefusedEndpointError):  # an allowed IPv4 network does not open its IPv6 disguise
        check_url("http://[::ffff:127.0.0.1]/hook", ON_PREMISES)


@pytest.mark.parametrize("address", ["169.254.169.254", "224.0.0.1", "0.0.0.0", "fe80::1", "ff02::1", "::"])
def test_some_addresses_cannot_be_allowed(address: str) -> None:
    found = ip_address(address)
    policy = AddressPolicy(allow_networks=(ip_network(f"{address}/{found.max_prefixlen}"),))
    with pytest.raises(RefusedEndpointError):
        check_address(found, policy)


@pytest.mark.parametrize("address", ["64:ff9b::a00:1", "2002:a00:1::", "::127.0.0.1", "fec0::1", "224.0.0.1"])
def test_what_ipaddress_calls_global_but_is_not(address: str) -> None:
    with pytest.raises(RefusedEndpointError):
        check_address(ip_address(address), DEFAULT)


async def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    with pytest.raises(RefusedEndpointError):
        await check_endpoint("https://receiver.example/", DEFAULT, resolver("8.8.8.8", "10.0.0.1"))
    with pytest.raises(RefusedEndpointError):
        await check_endpoint("https://receiver.example/", DEFAULT, resolver("fe80::1%eth0", "8.8.8.8"))
    found = await check_endpoint("https://receiver.example/", DEFAULT, resolver("8.8.8.8", "8.8.8.8", "8.8.4.4"))
    assert [str(address) for address in found] == ["8.8.8.8", "8.8.4.4"]


async def test_a_name_without_an_address_is_no_refusal() -> None:
    with pytest.raises(ResolutionFailedError):
        await check_endpoint("https://receiver.example/", DEFAULT, resolver())


@pytest.mark.parametrize("text", ["10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/4", "ten", "", "10.0.0.0/33"])
def test_networks_that_make_no_sense_or_allow_everything(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|wide"):
        parse_network(text)
