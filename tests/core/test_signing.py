"""Keys from secrets, and signatures of what is posted."""

from __future__ import annotations

import base64

import pytest

from fantasm_gcp.core.signing import parse_keys, signatures

PUBLISHED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""A secret that is printed in tests of libraries for the scheme, with what it signs and the signature."""


def test_a_signature_is_what_other_libraries_make():
    """With the values that they publish for their tests."""
    made = signatures(
        parse_keys(PUBLISHED), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == made


def test_the_key_is_what_the_base64_stands_for_or_the_text_itself():
    """In UTF-8."""
    text = "a passphrase without spaces".replace(" ", "-") + "ü"
    assert (b"\x01" * 24, text.encode()) == parse_keys(
        f"  whsec_{base64.b64encode(bytes([1] * 24)).decode()}\n{text} "
    )
    assert () == parse_keys("  ")


def test_each_secret_signs_in_its_order():
    """So a receiver that knows any of them finds a signature that it can verify."""
    one, two = parse_keys("o" * 24), parse_keys("t" * 24)
    both = signatures((*one, *two), "id", 7, b"body")
    assert [signatures(one, "id", 7, b"body"), signatures(two, "id", 7, b"body")] == both.split(" ")


@pytest.mark.parametrize("changed", [("ie", 7, b"body"), ("id", 8, b"body"), ("id", 7, b"bodz")])
def test_everything_is_signed(changed):
    """The delivery, the moment and the body."""
    keys = parse_keys("o" * 24)
    assert signatures(keys, "id", 7, b"body") != signatures(keys, *changed)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("hunter2-hunter2-hunter2", "secret 1 has 23 bytes, and at least 24 are needed"),
        (PUBLISHED + " hunter2", "secret 2 has 7 bytes"),
        ("whsec_", "secret 1 has 0 bytes"),
        ("whsec_" + base64.b64encode(b"hunter2").decode(), "secret 1 has 7 bytes"),
        ("whsec_hunter2*hunter2*hunter2*hunter2", "what follows is not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "what follows is not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSü", "what follows is not base64"),
    ],
)
def test_a_weak_or_torn_secret_is_refused_without_being_told(secret, words):
    """Neither the message nor what it was raised from has anything of it."""
    with pytest.raises(ValueError) as raised:
        parse_keys(secret)
    assert words in str(raised.value)
    error = raised.value
    while error is not None:
        assert "hunter2" not in str(error)
        assert "MfKQ9r8" not in str(error)
        error = error.__cause__
