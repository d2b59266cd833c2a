"""Which machines' names and URLs may be told of the end of an instance."""

from __future__ import annotations

import random
import re
from urllib.parse import urlsplit

import pytest

from fantasm_gcp.core.receivers import is_url, mistake_in

NO_URL = "write the name of a machine, or a URL that begins with https://"
HTTP = "http:// is for this machine alone, in local mode: write https://"


@pytest.mark.parametrize("name", ["M", "Send-2", "a" * 50, "-", "1", "https", "localhost"])
def test_a_name_is_a_machine(name):
    """Whatever it looks like: a URL has a colon."""
    assert (False, "") == (is_url(name), mistake_in(name))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a/b;c=d/~e?f=g&h=%20,@!$'()*+",
        "https://203.0.113.7/",
        "https://[2001:db8::1]:8443/",
        "https://localhost/",
        "http://localhost",
        "http://LocalHost:8080/x",
        "http://127.0.0.1:8080/x?y=z",
        "http://[::1]:8080/x",
        "http://[0:0:0:0:0:0:0:1]/x",
    ],
)
def test_an_absolute_url_is_a_receiver(url):
    """With https, or with http where it leads to this machine."""
    assert (True, "") == (is_url(url), mistake_in(url))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", NO_URL),
        ("Send_Mail", NO_URL),
        ("a" * 51, NO_URL),
        ("M\n", NO_URL),
        ("example.com/done", NO_URL),
        ("//example.com/done", NO_URL),
        ("https:/example.com", NO_URL),
        ("javascript:alert(1)", NO_URL),
        ("http://example.com/", HTTP),
        ("http://127.0.0.2/", HTTP),
        ("http://0.0.0.0/", HTTP),
        ("http://[::]/", HTTP),
        ("http://localhost.example.com/", HTTP),
        ("HTTP://example.com/", HTTP),
    ],
)
def test_anything_else_is_told_what_to_write(text, hint):
    """A text without a scheme may be meant as either; encryption is left out on the way to this machine alone."""
    assert (True, hint) == (is_url(text), mistake_in(text))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///done",
        "https://example.com/#a",
        "https://example.com/a b",
        "https://exam\tple.com/",
        "https://example.com\\@localhost/",
        "https://exämple.com/",
        "https://user:secret@example.com/",
        "http://localhost@example.com/",
        "https://example.com:0/",
        "https://2130706433/",
        "https://[::ffff:127.0.0.1]/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_a_url_that_two_libraries_could_read_differently_is_refused(url):
    """As it is where it would be called; all of those are tested there."""
    assert is_url(url)
    assert mistake_in(url)


@pytest.mark.parametrize("seed", range(20))
def test_of_odd_urls_only_those_are_allowed_whose_host_is_plain(seed):
    """Whatever is allowed is read by urllib as a URL of a plain host, without user and fragment."""
    chance = random.Random(seed)
    pieces = ["a", "1", ".", ":", "/", "@", "#", "?", "[", "]", "%", "\\", "example", "127.0.0.1", "::1", "-"]
    allowed = 0
    for _ in range(3000):
        url = chance.choice(["https://", "https://", "http://"]) + "".join(
            chance.choices(pieces, k=chance.randint(0, 6))
        )
        if mistake_in(url):
            continue
        allowed += 1
        parts = urlsplit(url)
        assert (None, None, "") == (parts.username, parts.password, parts.fragment), url
        assert re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:.]+", parts.hostname or ""), url
        assert parts.port is None or 1 <= parts.port <= 65535, url
        assert "https" == parts.scheme or parts.hostname in ("127.0.0.1", "::1", "localhost"), url
    assert allowed > 30
