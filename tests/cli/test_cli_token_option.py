"""`--token`: where it goes, where it does not, and what is said to who has none."""

import http.server
import json
import threading

import pytest

from fantasm_gcp.cli.api import Api
from fantasm_gcp.cli.main import main
from fantasm_gcp.cli.refusal import Refusal

TOKEN = "eyJhbGciOi.hunter2.s-ig_na"
LISTED = {"instances": [], "cursor": None}


class _Protected(http.server.BaseHTTPRequestHandler):
    """Answers as its server's ``answers`` say for the first word of a path; keeps what it was asked."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.server.answers[self.path.split("/")[1].partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.replace("{here}", f"http://127.0.0.1:{self.server.server_port}"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the server's name

    def log_message(self, *_):
        """Tests print nothing."""


ANSWERS = {
    "fine": (200, {}, json.dumps(LISTED).encode()),
    "closed": (401, {}, b'{"error": "say who you are"}'),
    "forbidden": (403, {}, b'{"error": "only operators may"}'),
    "page": (403, {}, b"<html>Your client does not have permission"),
    "echo": (403, {}, json.dumps({"error": f"not with Bearer {TOKEN}\x1b[2J"}).encode()),
    "broken": (500, {}, json.dumps({"error": f"{TOKEN} broke it"}).encode()),
    "moved": (302, {"Location": "{here}/fine/"}, b""),
    "kept": (307, {"Location": "{here}/fine/"}, b""),
    "nowhere": (302, {}, b""),
    "odd": (302, {"Location": "http://[/"}, b""),
    "told": (302, {"Location": f"http://127.0.0.1:1/?token={TOKEN}"}, b""),
    "login": (302, {"Location": "https://accounts.google.com/ServiceLogin?continue=x"}, b""),
    "develop": (302, {"Location": "{here}/_ah/login?continue=x"}, b""),
    "iap": (302, {"Location": "https://accounts.google.com/o", "X-Goog-IAP-Generated-Response": "true"}, b""),
    "iap-401": (401, {"X-Goog-IAP-Generated-Response": "true"}, b"Invalid IAP credentials"),
}


@pytest.fixture(scope="module")
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Protected)
    made.answers, made.asked = ANSWERS, []
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def ask(runner, server, monkeypatch):
    """Runs `fantasm list` against a path of the server; gives the result and what the server was asked."""
    for variable in ("FANTASM_TOKEN", "FANTASM_URL"):
        monkeypatch.delenv(variable, raising=False)
    server.asked.clear()

    def invoke(path, *arguments, **keywords):
        url = ["--url", f"http://127.0.0.1:{server.server_port}/{path}"] if path else []
        return runner.invoke(main, ["list", *url, *arguments], **keywords), server.asked

    return invoke


@pytest.mark.parametrize("given", [["--token", TOKEN], ["--token", f" {TOKEN}\n"]])
def test_a_token_is_sent_as_a_bearer(ask, given):
    """Without the space around it."""
    answer, asked = ask("fine", *given)
    assert 0 == answer.exit_code, answer.output
    assert [f"Bearer {TOKEN}"] == [sent for _, sent in asked]


def test_without_a_token_nothing_is_sent(ask):
    """As `fantasm dev` has it."""
    answer, asked = ask("fine")
    assert (0, [None]) == (answer.exit_code, [sent for _, sent in asked])


def test_a_token_is_read_from_standard_input(ask):
    """With the new line that gcloud prints behind it."""
    answer, asked = ask("fine", "--token", "-", input=f"{TOKEN}\n")
    assert (0, [f"Bearer {TOKEN}"]) == (answer.exit_code, [sent for _, sent in asked])


def test_the_environment_names_url_and_token(ask, server):
    """Where the options do not."""
    environ = {"FANTASM_URL": f"http://127.0.0.1:{server.server_port}/fine", "FANTASM_TOKEN": TOKEN}
    answer, asked = ask("", env=environ)
    assert (0, [f"Bearer {TOKEN}"]) == (answer.exit_code, [sent for _, sent in asked])


def test_the_options_win_over_the_environment(ask):
    """A token for another application is replaced."""
    environ = {"FANTASM_URL": "http://127.0.0.1:1", "FANTASM_TOKEN": "other"}
    answer, asked = ask("fine", "--token", TOKEN, env=environ)
    assert (0, [f"Bearer {TOKEN}"]) == (answer.exit_code, [sent for _, sent in asked])


def test_a_command_is_sent_with_it_too(runner, server):
    """A POST as well as a GET."""
    server.asked.clear()
    url = f"http://127.0.0.1:{server.server_port}/closed"
    answer = runner.invoke(main, ["start", "Walk", "--url", url, "--token", TOKEN])
    assert 2 == answer.exit_code
    assert [("/closed/fsm/Walk/", f"Bearer {TOKEN}")] == server.asked


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0:8080",
        "HTTP://10.0.0.1",
    ],
)
def test_a_token_goes_over_tls_or_to_this_machine(runner, url):
    """It is refused before anything is asked, and not said."""
    answer = runner.invoke(main, ["list", "--url", url, "--token", TOKEN])
    assert 2 == answer.exit_code
    assert "a token goes to https or to this machine only" in answer.output
    assert "hunter2" not in answer.output


@pytest.mark.parametrize("url", ["https://shop.example.com", "http://[::1]:80", "http://localhost", "http://127.9.9.9"])  # fmt: skip
def test_where_a_token_may_go(url):
    """Nothing is asked yet."""
    assert url == Api(url, TOKEN).url


def test_a_url_with_a_name_in_it_is_refused():
    """What looks like the host is none, and a password would be in messages."""
    with pytest.raises(Refusal, match="has a name or a password in it") as raised:
        Api("https://shop.example.com:hunter2@evil.example", TOKEN)
    assert "hunter2" not in raised.value.message


@pytest.mark.parametrize(
    "token", ["two words", "a\nb", "a\r\nX-AppEngine-Cron: true", "tökn", "a\x00", "x" * 16_001]
)
def test_what_no_header_can_carry_is_no_token(ask, token):
    """It is not said, and nothing is asked."""
    answer, asked = ask("fine", "--token", "-", input=token)
    assert (2, []) == (answer.exit_code, asked)
    assert "fantasm: the token is none: it has letters, digits and signs, without a space, on one line\n" == answer.output  # fmt: skip


def test_nothing_on_standard_input_is_told(ask):
    """gcloud may have failed in front of the pipe."""
    answer, asked = ask("fine", "--token", "-", input="\n")
    assert (2, []) == (answer.exit_code, asked)
    assert "reads an ID token from standard input, and there is none" in answer.output


@pytest.mark.parametrize("path", ["moved", "kept", "nowhere", "odd"])
@pytest.mark.parametrize("token", [[], ["--token", TOKEN]])
def test_no_redirect_is_followed(ask, path, token):
    """The token would go along, and a start would become a GET."""
    answer, asked = ask(path, *token)
    assert (2, 1) == (answer.exit_code, len(asked))
    assert "which is not followed: --url names another place" in answer.output


@pytest.mark.parametrize("path", ["echo", "broken", "told"])
def test_a_server_cannot_make_it_print_the_token(ask, path):
    """Nor move the cursor."""
    answer, _ = ask(path, "--token", TOKEN)
    assert "hunter2" not in answer.output
    assert "(the token)" in answer.output
    assert "\x1b" not in answer.output


@pytest.mark.parametrize(
    ("path", "token", "words"),
    [
        ("closed", [], "say who you are\nan ID token says who you are, by --token or FANTASM_TOKEN"),
        ("closed", ["--token", TOKEN], "the token was not taken: it lasts an hour"),
        ("forbidden", ["--token", TOKEN], "only operators may\nthe token's account may not do this"),
        ("page", ["--token", TOKEN], "answered 403\nthe token's account may not do this"),
    ],
)
def test_who_is_not_let_in_is_told_how_to_get_a_token(ask, path, token, words):
    """With the command that prints one which says whose it is, for this application."""
    answer, asked = ask(path, *token)
    url = answer.output.partition("--audiences=")[2].strip()
    assert 2 == answer.exit_code
    assert words in answer.output
    assert "gcloud auth print-identity-token --include-email" in answer.output
    assert url.startswith("http://127.0.0.1:")
    assert 1 == len(asked)


@pytest.mark.parametrize("path", ["login", "develop"])
def test_the_page_for_signing_in_is_recognised(ask, path):
    """`login: admin` takes a browser's session and no token, so another way has to be opened."""
    answer, _ = ask(path, "--token", TOKEN)
    assert 2 == answer.exit_code
    assert "its app.yaml has login: admin" in answer.output
    assert "FANTASM_OPERATORS" in answer.output


@pytest.mark.parametrize("path", ["iap", "iap-401"])
def test_identity_aware_proxy_is_recognised(ask, path):
    """It wants a token for its own client."""
    answer, _ = ask(path, "--token", TOKEN)
    assert 2 == answer.exit_code
    assert "--audiences=CLIENT_ID" in answer.output
