"""URLs that may be posted to, read alike by everybody; the list of hosts; addresses that are public."""

from __future__ import annotations

import random
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import pytest
import requests
import urllib3
from urllib3.exceptions import LocationParseError

from fantasm_gcp.core.endpoints import (
    LONGEST_URL,
    is_public,
    parse_allowed,
    parse_endpoint,
    parse_list,
    refusal_of,
)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/"),
        ("https://hooks.example.com/a/b?c=d&e=%2F", "https://hooks.example.com/a/b?c=d&e=%2F"),
        ("HTTPS://Hooks.Example.COM/Done", "https://hooks.example.com/Done"),
        ("https://hooks.example.com:443/", "https://hooks.example.com/"),
        ("https://hooks.example.com:8443?x", "https://hooks.example.com:8443/?x"),
        ("http://localhost:80/", "http://localhost/"),
        ("http://localhost:443/", "http://localhost:443/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://192.0.2.7:65535/", "https://192.0.2.7:65535/"),
        ("https://[2001:DB8:0:0::7]:1/", "https://[2001:db8::7]:1/"),
        ("https://a.example/users/@me/x:y;z=(1,2)!$&'*+", "https://a.example/users/@me/x:y;z=(1,2)!$&'*+"),
        ("https://a.example/a//b/...?q=//x/../?", "https://a.example/a//b/...?q=//x/../?"),
        ("https://" + "a" * 63 + ".example/", "https://" + "a" * 63 + ".example/"),
    ],
)
def test_a_url_has_one_plain_form(url, plain):
    """Scheme and host in lower case, the usual port left out, a path in any case."""
    assert plain == parse_endpoint(url).url
    assert parse_endpoint(plain) == parse_endpoint(url)


HOSTILE = [
    "",
    "hooks.example.com",
    "//hooks.example.com/",
    "/done",
    "https:/hooks.example.com/",
    "https:hooks.example.com",
    "https:///hooks.example.com/",
    "https://",
    "https://?x",
    "https://:443/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "javascript://hooks.example.com/",
    "https+unix://hooks.example.com/",
    " https://hooks.example.com/",
    "https://hooks.example.com/ ",
    "https://hooks.example.com/a b",
    "https://hooks.example.com/\r\nHost: other",
    "https://hooks.example.com/\n",
    "https://hooks.exam\tple.com/",
    "https://hooks.example.com\x00.evil.example/",
    "https://hooks.example.com\x7f/",
    "https://hooks.example.com\\@evil.example/",
    "https://evil.example\\.hooks.example.com/",
    "https:\\\\hooks.example.com/",
    "https://hooks.example.com#@evil.example/",
    "https://hooks.example.com/#part",
    "https://user@hooks.example.com/",
    "https://user:password@hooks.example.com/",
    "https://@hooks.example.com/",
    "https://hooks.example.com:443@evil.example/",
    "https://evil.example%2F@hooks.example.com/",
    "https://hooks.example.com%2f.evil.example/",
    "https://hooks%2eexample%2ecom/",
    "https://hooks.example.com./",
    "https://.hooks.example.com/",
    "https://hooks..example.com/",
    "https://-hooks.example.com/",
    "https://hooks-.example.com/",
    "https://ho_oks.example.com/",
    "https://*.example.com/",
    "https://hooks,example.com/",
    "https://hooks.example.com;evil.example/",
    "https://" + "a" * 64 + ".example/",
    "https://" + ".".join(["a" * 60] * 5) + "/",
    "https://bücher.example/",
    "https://hooks。example.com/",
    "https://\uff48ooks.example.com/",
    "https://hooks.example.com/ü",
    "https://hooks.example.com:/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:0443/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:+443/",
    "https://hooks.example.com:-1/",
    "https://hooks.example.com:44 3/",
    "https://hooks.example.com:443:443/",
    "https://hooks.example.com:https/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.256/",
    "https://127.0.0.1./",
    "https://1.2.3.4.5/",
    "https://hooks.example.0x1/",
    "https://hooks.example.1/",
    "https://0/",
    "https://0x/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::1/",
    "https://::1/",
    "https://[::1]evil.example/",
    "https://evil.example[::1]/",
    "https://[hooks.example.com]/",
    "https://[127.0.0.1]/",
    "https://[v1.fe80::a]/",
    "https://[]/",
    "https://[[::1]]/",
    "https://[::1]:/",
    "https://hooks.example.com//evil.example/",
    "https://hooks.example.com/a/../b",
    "https://hooks.example.com/..",
    "https://hooks.example.com/./a",
    "https://hooks.example.com/%2e%2E/a",
    "https://hooks.example.com/.%2e",
    "https://hooks.example.com/%",
    "https://hooks.example.com/%4",
    "https://hooks.example.com/%zz",
    "https://hooks.example.com/?a[]=1",
    "https://hooks.example.com/<script>",
    'https://hooks.example.com/"',
    "https://hooks.example.com/{a}|^`",
    "https://hooks.example.com/\ud800",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_what_might_be_read_differently_is_refused(url):
    """Other hosts in disguise, numbers that are addresses to some, characters that some drop or translate."""
    with pytest.raises(ValueError):
        parse_endpoint(url)


@pytest.mark.parametrize("url", [None, 7, b"https://hooks.example.com/", ["https://a.example/"], {}])
def test_a_url_is_a_text(url):
    """A context may hold anything."""
    with pytest.raises(ValueError, match="a URL is a text"):
        parse_endpoint(url)


def test_a_url_has_a_longest_length():
    """The last character that is allowed, and one more."""
    url = "https://hooks.example.com/".ljust(LONGEST_URL, "a")
    assert url == parse_endpoint(url).url
    with pytest.raises(ValueError, match="longer than 2000 characters"):
        parse_endpoint(url + "a")


def test_a_refusal_does_not_tell_path_and_query():
    """They may hold a token, and refusals are logged."""
    for url in ("https://u:token@a.example/", "https://a_b.example/token?token", "https://a.example/%token"):
        with pytest.raises(ValueError) as raised:
            parse_endpoint(url)
        assert "token" not in str(raised.value)


PIECES = [
    *"/:@?#[].%\\ -_*,;=&|\t\n\r\x00",
    *("https://", "HTTP://", "//", "hooks.example.com", "evil.example", "127.0.0.1", "[::1]", "localhost"),
    *(
        "2130706433",
        "0x7f",
        "%2e",
        "%40",
        "%2f",
        "..",
        "443",
        ":8443",
        "xn--",
        "ü",
        "。",
        "user:pw@",
        "a",
        "?x=1",
    ),
]


def test_libraries_read_what_is_accepted_alike():
    """Pieces put together at random: urllib, urllib3 and requests agree on scheme, host and port."""
    chance = random.Random(20)
    accepted = 0
    for _ in range(60_000):
        pieces = chance.choices(PIECES, k=chance.randint(1, 5))
        url = chance.choice(["https://", "https://", "http://", ""]) + "".join(pieces)
        try:
            endpoint = parse_endpoint(url)
        except ValueError:
            continue
        accepted += 1
        prepared = requests.Request("POST", endpoint.url).prepare().url
        for each in (url, endpoint.url, prepared):
            assert (endpoint.scheme, endpoint.host, endpoint.port) == _by_urllib(each), url
            assert (endpoint.scheme, endpoint.host, endpoint.port) == _by_urllib3(each), url
        requested = prepared.removeprefix(f"{endpoint.scheme}://{endpoint.authority}")
        # requests writes an escape of a letter as the letter, which means the same.
        assert (unquote(endpoint.target), endpoint.target.count("/")) == (
            unquote(requested),
            requested.count("/"),
        )
    assert accepted > 1000


def _by_urllib(url):
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}[parts.scheme]


def _by_urllib3(url):
    parts = urllib3.util.parse_url(url)
    return parts.scheme, parts.host.strip("[]"), parts.port or {"https": 443, "http": 80}[parts.scheme]


def test_the_pieces_do_trip_libraries_up():
    """Without the check, they differ: what the table above refuses is no fancy."""
    with pytest.raises(LocationParseError):
        urllib3.util.parse_url("https://[fe80::1%25eth0")
    url = "https://hooks.example.com\\@evil.example/"
    assert urlsplit(url).hostname != urllib3.util.parse_url(url).host


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("hooks.example.com", "https://hooks.example.com/a", True),
        ("HOOKS.example.com", "https://hooks.EXAMPLE.com/a", True),
        ("hooks.example.com", "https://hooks.example.com:443/", True),
        ("hooks.example.com:443", "https://hooks.example.com/", True),
        ("hooks.example.com", "https://hooks.example.com:8443/", False),
        ("hooks.example.com:8443", "https://hooks.example.com:8443/", True),
        ("hooks.example.com:8443", "https://hooks.example.com/", False),
        ("hooks.example.com", "https://a.hooks.example.com/", False),
        ("hooks.example.com", "https://example.com/", False),
        ("hooks.example.com", "https://hooks.example.com.evil.example/", False),
        ("example.com", "https://evilexample.com/", False),
        ("*.example.com", "https://hooks.example.com/", True),
        ("*.example.com", "https://a.b.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://evilexample.com/", False),
        ("*.example.com", "https://example.com.evil.example/", False),
        ("*.example.com", "https://hooks.example.com:8443/", False),
        ("*.example.com:8443", "https://hooks.example.com:8443/", True),
        ("192.0.2.7", "https://192.0.2.7/", True),
        ("192.0.2.7", "https://192.0.2.8/", False),
        ("192.0.2.7:81", "https://192.0.2.7:81/", True),
        ("[2001:db8::7]", "https://[2001:DB8:0::0:7]/", True),
        ("[2001:db8::7]:81", "https://[2001:db8::7]/", False),
        ("localhost", "http://localhost/", False),
        ("localhost:80", "http://localhost/", True),
        ("localhost:9000", "http://localhost:9000/", True),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example/", True),
    ],
)
def test_an_entry_allows_its_host_and_port_alone(entry, url, allowed):
    """A star is for what is below a domain, on any level; an address is for itself."""
    assert allowed is parse_allowed(entry).allows(parse_endpoint(url))


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "",
            "*",
            "*.",
            "*.com",
            "*.localhost",
            "*.*.example.com",
            "hooks.*.com",
            "*example.com",
            "a*.example.com",
        ),
        *("*.10.0.0.1", "*.[::1]", "10.0.0.0/8", "10.0.0", "10.1", "0x7f.0.0.1", "::1", "2001:db8::7"),
        *(
            "[::ffff:10.0.0.1]",
            "[fe80::1%eth0]",
            "https://hooks.example.com",
            "hooks.example.com/",
            "a@b.example",
        ),
        *("hooks.example.com.", ".example.com", "bücher.example", "hooks example.com", "hooks.example.com:"),
        *("hooks.example.com:0", "hooks.example.com:70000", "hooks.example.com:443x", "ho_oks.example"),
    ],
)
def test_an_entry_that_allows_nothing_or_too_much_is_refused(entry):
    """Instead of never matching, or of matching what nobody meant."""
    with pytest.raises(ValueError):
        parse_allowed(entry)


def test_a_list_is_read_to_its_plain_form():
    """Which is read to itself again; empty places do no harm."""
    text = " Hooks.Example.com ,*.example.org:8443,, 10.0.0.1:443,[::1]:80, "
    plain = ("hooks.example.com", "*.example.org:8443", "10.0.0.1", "[::1]:80")
    assert plain == parse_list(text) == parse_list(",".join(plain))
    assert () == parse_list(" , ")
    with pytest.raises(ValueError, match="allows too much"):
        parse_list("hooks.example.com,*.com")


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
        *(
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
        ),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
        ),
        *(
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ),
        *("4000::1", "5f00::1", "fc00::1", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
    ],
)
def test_near_and_special_addresses_are_not_public(address):
    """Private, loopback, link-local, shared, multicast, reserved, and IPv4 addresses inside of IPv6 ones."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "223.255.255.1", "2607:f8b0::1", "2a00::1"],
)
def test_addresses_of_the_internet_are_public(address):
    """Beside what is special, too."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "address", "entries", "local", "words"),
    [
        ("https://a.example/", "8.8.8.8", "a.example", False, ""),
        ("https://a.example/", "10.0.0.1", "a.example", False, "10.0.0.1 is not a public address"),
        ("https://a.example/", "10.0.0.1", "a.example,10.0.0.1", False, ""),
        ("https://a.example:81/", "10.0.0.1", "a.example:81,10.0.0.1", False, "not a public"),
        ("https://a.example:81/", "10.0.0.1", "a.example:81,10.0.0.1:81", False, ""),
        ("https://a.example/", "10.0.0.1", "a.example", True, "not a public"),
        ("https://a.example/", "127.0.0.1", "a.example", False, "not a public"),
        ("https://a.example/", "127.0.0.1", "a.example", True, ""),
        ("https://a.example/", "::1", "a.example", True, ""),
        ("https://a.example/", "::ffff:127.0.0.1", "a.example", True, "not a public"),
        ("http://localhost/", "127.0.0.1", "localhost:80", True, ""),
        ("http://localhost/", "127.0.0.1", "localhost:80,127.0.0.1:80", False, "not this machine"),
        ("http://localhost/", "8.8.8.8", "localhost:80", True, "not this machine"),
        ("http://localhost/", "10.0.0.1", "localhost:80,10.0.0.1:80", True, "not this machine"),
    ],
)
def test_a_host_may_not_lead_to_what_is_near(url, address, entries, local, words):
    """Unless the address itself is on the list, with the port, or is this machine in local mode."""
    allowed = [parse_allowed(each) for each in parse_list(entries)]
    why = refusal_of(parse_endpoint(url), ip_address(address), allowed, local=local)
    assert bool(words) is bool(why)
    assert words in why
