"""Where a webhook may be posted to: URLs that everybody reads alike, and the list of hosts that are allowed.

What libraries might read differently is refused: a URL is checked here, and requested by others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

LONGEST_URL = 2000
"""Characters of a URL that may be posted to."""

HTTPS_PORT = 443

_PORTS = {"https": HTTPS_PORT, "http": 80}
_LARGEST_PORT = 65535
_LONGEST_NAME = 253

# What RFC 3986 lets stand in a URL, but for '#': a fragment is never sent.
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*")
_PARTS = re.compile(r"(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?P<query>\?.*)?")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?")
_TORN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last label it makes a host an IPv4 address to some
_PORT = re.compile(r"[1-9][0-9]{0,4}")

_UNICAST = ip_network("2000::/3")
# Not public, or leading to an IPv4 address of anybody's choice, whatever a release of Python says of them.
_SPECIAL = tuple(map(ip_network, ("192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL in parts. ``host`` is a name in lower case, or an IP address without brackets.

    ``target`` is the path and the query; ``address`` the host's IP address, None where it is a name.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @property
    def authority(self) -> str:
        """The host and, where it is not the scheme's own, the port."""
        return _written(self.host, self.address, self.port, _PORTS[self.scheme])

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def entry(self) -> str:
        """What the list of allowed hosts has to have for this endpoint."""
        return _written(self.host, self.address, self.port, HTTPS_PORT)

    @property
    def is_this_machine(self) -> bool:
        """Whether the host says by its name that it is this machine; what a name leads to is not known."""
        return self.host == "localhost" if self.address is None else self.address.is_loopback


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the list: a host and a port; with ``below`` the host's subdomains instead."""

    host: str
    port: int
    address: Address | None = None
    below: bool = False

    def __str__(self) -> str:
        return ("*." if self.below else "") + _written(self.host, self.address, self.port, HTTPS_PORT)

    def allows(self, endpoint: Endpoint) -> bool:
        """Whether this entry allows an endpoint, by its host as written."""
        if endpoint.port != self.port or endpoint.address != self.address:
            return False
        if self.below:
            return endpoint.host.endswith(f".{self.host}")
        return self.address is not None or endpoint.host == self.host


def parse_endpoint(url: object) -> Endpoint:
    """Takes an absolute ``https://`` or ``http://`` URL to pieces.

    Raises ``ValueError`` with what is wrong. No more of the URL is in its text than its host and port: the
    rest may be secret.
    """
    if not isinstance(url, str):
        raise ValueError(f"a URL is a text, not {type(url).__name__}")
    if len(url) > LONGEST_URL:
        raise ValueError(f"it is longer than {LONGEST_URL} characters")
    if not _CHARACTERS.fullmatch(url) or _TORN_ESCAPE.search(url):
        raise ValueError(
            "a URL is ASCII: write all else percent-encoded, a host in its xn-- form, and no '#'"
        )
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    parts = _PARTS.fullmatch(rest)
    if not separator or scheme not in _PORTS or parts is None:
        raise ValueError("it has to begin with https://")
    if "@" in parts["authority"]:
        raise ValueError("a user name or password in a URL is refused")
    host, port, address = _host_and_port(parts["authority"], _PORTS[scheme])
    path, query = parts["path"] or "/", parts["query"] or ""
    target = path + query if query != "?" else path
    _check_target(path, target)
    return Endpoint(scheme, host, port, target, address)


def parse_allowed(text: str) -> Allowed:
    """Reads one entry: ``host``, ``*.domain`` or an IP address, with ``:port`` where that is not 443.

    Raises ``ValueError`` with what to write.
    """
    written = text.removeprefix("*.")
    below = written != text
    if "*" in written:
        raise ValueError(f"{text!r}: write whole names; *.example.com allows the subdomains of example.com")
    host, port, address = _host_and_port(written, HTTPS_PORT)
    if below and (address is not None or "." not in host):
        raise ValueError(f"{text!r} allows too much: name a domain, as in *.example.com")
    return Allowed(host, port, address, below)


def parse_list(text: str) -> tuple[str, ...]:
    """Reads a comma-separated list of entries, and answers each in its plain form. Raises ``ValueError``."""
    return tuple(str(parse_allowed(each.strip())) for each in text.split(",") if each.strip())


def refusal_of(endpoint: Endpoint, address: Address, allowed: Iterable[Allowed], *, local: bool) -> str:
    """Why an endpoint is not to be reached at one of the addresses of its host; empty where it may be.

    An address that is not public has to be on the list itself. In local mode this machine may be reached,
    and without encryption nothing else.
    """
    if endpoint.scheme == "http" and not (local and is_this_machine(address)):
        return f"{address} is not this machine, which is all that http:// may reach"
    if is_public(address) or (local and is_this_machine(address)):
        return ""
    if any(each.address == address and each.port == endpoint.port for each in allowed):
        return ""
    return f"{address} is not a public address"


def is_this_machine(address: Address) -> bool:
    """Whether an address is of loopback, in its plain form."""
    # Python 3.13 takes an IPv4 address in disguise (::ffff:127.0.0.1) for what it stands for, 3.11 does not.
    return address.is_loopback and (address.version == 4 or address.ipv4_mapped is None)


def is_public(address: Address) -> bool:
    """Whether an address is of one host in the Internet, and not of anything that is nearer or special."""
    if address.version == 6 and address not in _UNICAST:
        return False
    special = address.is_multicast or any(address in each for each in _SPECIAL)
    return address.is_global and not special


def _host_and_port(written: str, usual: int) -> tuple[str, int, Address | None]:
    """A host, a port and the host's address, as they stand in a URL or in the list."""
    parts = _HOST_AND_PORT.fullmatch(written)
    if parts is None:
        raise ValueError(f"{written!r} is no host: an IPv6 address is written in square brackets")
    port = parts["port"]
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= _LARGEST_PORT):
        raise ValueError(f"{written!r}: a port is a number from 1 to {_LARGEST_PORT}")
    host, address = _host(parts["host"])
    return host, usual if port is None else int(port), address


def _host(written: str) -> tuple[str, Address | None]:
    host = written.lower()
    labels = host.split(".")
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
            if address.scope_id is not None or address.ipv4_mapped is not None:
                raise ValueError("a zone, or an IPv4 address in disguise")
            return str(address), address
        if _NUMBER.fullmatch(labels[-1]):
            return host, IPv4Address(host)
    except ValueError as error:
        raise ValueError(f"{written!r} is no IP address in its plain form") from error
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{written!r} is no host: write a name like hooks.example.com")
    return host, None


def _check_target(path: str, target: str) -> None:
    """Refuses what is taken for another path, or for another host, by some."""
    if "[" in target or "]" in target:
        raise ValueError("square brackets are for the host alone: write them percent-encoded")
    steps = [each.lower().replace("%2e", ".") for each in path.split("/")]
    if path.startswith("//") or "." in steps or ".." in steps:
        raise ValueError("a path with '//' at its beginning, '.' or '..' is refused")


def _written(host: str, address: Address | None, port: int, usual: int) -> str:
    shown = f"[{host}]" if address is not None and address.version == 6 else host
    return shown if port == usual else f"{shown}:{port}"
