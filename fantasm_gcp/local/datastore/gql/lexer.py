"""The words of GQL: text into tokens, one at a time, and where in the text each of them stands.

Source of the rules: the GQL reference (https://cloud.google.com/datastore/docs/reference/gql_reference,
retrieved 2026-11); what it leaves open, such as which words are keywords and what a number may look like, is
as the vendor's emulators answer. There are no comments and no closing semicolon.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from fantasm_gcp.local.datastore.entity.messages import invalid

MAX_TOKENS = 50_000
"""More words than any query can use: a filter has at most 30 alternatives. Longer text is refused unread."""

_WORDS = (
    "AGGREGATE ALL ANCESTOR AND ANY AS ASC AVG BETWEEN BINARY BY CHILD CONTAINS COUNT COUNT_UP_TO CURSOR "
    "DESC DESCENDANT DISTINCT DIV FALSE FROM GROUP HAS HAVING IN IS JOIN LIKE LIMIT MOD NOT NULL OFFSET "
    "ON OR ORDER OVER PARENT REGEXP RLIKE SELECT SUBSET SUM SUPERSET TRUE WHERE XOR"
)
KEYWORDS = frozenset(_WORDS.split())
"""What a name is not unless it stands in backquotes; capitals and small letters are the same here."""

NAME, QUOTED_NAME, INTEGER, DOUBLE, STRING, SITE, END = (
    "<NAME>",
    "<QUOTED_NAME>",
    "<INTEGER>",
    "<DOUBLE>",
    "<STRING>",
    "<BINDING_SITE>",
    "<EOF>",
)

_ESCAPED = r"\\[\\0bnrtZ'\"`%_]"
_TOKEN = re.compile(
    rf"""
    [ \t\r\n]*+
    (?: (?P<name> [A-Za-z_$\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+ )
    | (?P<double> [+-]?(?: (?: [0-9]++\.[0-9]*+ | \.[0-9]++ )(?: [eE][+-][0-9]++ | [eE][0-9]*+ )?
                         | [0-9]++(?: [eE][+-][0-9]++ | [eE][0-9]*+ ) ) )
    | (?P<integer> [+-]?[0-9]++ )
    | (?P<string> '(?: [^'\\\n]++ | '' | {_ESCAPED} )*+' | "(?: [^"\\\n]++ | "" | {_ESCAPED} )*+" )
    | (?P<quoted> `(?: [^`\\\n]++ | `` | {_ESCAPED} )*+` )
    | (?P<site> @(?: [0-9]++ | [A-Za-z_$\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+ ) )
    | (?P<symbol> != | <= | >= | [=<>(),.*+] )
    | (?P<end> \Z )
    )""",
    re.VERBOSE,
)
_PUNCTUATION = frozenset("(),.*")
_KINDS = {
    "double": DOUBLE,
    "integer": INTEGER,
    "string": STRING,
    "quoted": QUOTED_NAME,
    "site": SITE,
    "end": END,
}
_BEGUN = re.compile(
    rf"""[ \t\r\n]*+
    ( '(?: [^'\\\n]++ | '' | {_ESCAPED} )*+\\? | "(?: [^"\\\n]++ | "" | {_ESCAPED} )*+\\?
    | `(?: [^`\\\n]++ | `` | {_ESCAPED} )*+\\? | [+-]\.? | [!@] | )""",
    re.VERBOSE,
)
_ESCAPE_OR_DOUBLED = re.compile(r"""\\(.)|''|""|``""")
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
_SHOWN = 100


class Token(NamedTuple):
    """A word of a query: ``kind`` is a keyword in capitals, a symbol, or one of the constants above."""

    kind: str
    image: str
    start: int


class Lexer:
    """The tokens of one text, read when asked for, so that the first mistake is the one reported."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ahead: list[Token] = []
        self._at = 0
        self._left = MAX_TOKENS

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one after it, left where it is.

        Raises INVALID_ARGUMENT for text that is no token.
        """
        while len(self._ahead) <= ahead:
            self._ahead.append(self._read())
        return self._ahead[ahead]

    def next(self) -> Token:
        """The next token, taken; the end of the text is there for ever."""
        token = self.peek()
        if token.kind != END:
            del self._ahead[0]
        return token

    def take(self, *kinds: str) -> Token | None:
        """The next token if it is of one of these kinds, taken; else ``None``."""
        return self.next() if self.peek().kind in kinds else None

    def expect(self, *kinds: str) -> Token:
        """The next token, taken; INVALID_ARGUMENT unless it is of one of these kinds."""
        return self.take(*kinds) or self.refuse(*kinds)

    def refuse(self, *expected: str) -> NoReturn:
        """Raises INVALID_ARGUMENT at the next token, with what could have stood there."""
        token = self.peek()
        found = END if token.kind == END else f'"{_shown(token.image)}"'
        wanted = " or ".join(f'"{kind}"' if kind in _PUNCTUATION else kind for kind in expected)
        raise invalid(f"Encountered {found} at {self.place(token.start)}. Was expecting: {wanted}.")

    def place(self, start: int) -> str:
        """Line and column of a place in the text, both counted from one."""
        text = self._text
        pairs = text.count("\r\n", 0, start)
        line = 1 + text.count("\n", 0, start) + text.count("\r", 0, start) - pairs
        column = start - max(text.rfind("\n", 0, start), text.rfind("\r", 0, start))
        return f"line {line}, column {column}"

    def _read(self) -> Token:
        self._left -= 1
        if self._left < 0:
            raise invalid(f"The GQL query has more than {MAX_TOKENS} tokens.")
        match = _TOKEN.match(self._text, self._at)
        if match is None or match.lastgroup is None:
            self._refuse_text()
        self._at = match.end()
        image = match[match.lastgroup]
        start = self._at - len(image)
        if match.lastgroup == "symbol":
            return Token(image, image, start)
        if match.lastgroup == "name":
            keyword = image.upper()
            return Token(keyword if keyword in KEYWORDS else NAME, image, start)
        return Token(_KINDS[match.lastgroup], image, start)

    def _refuse_text(self) -> NoReturn:
        begun = _BEGUN.match(self._text, self._at)
        if begun is None:
            raise AssertionError("the pattern matches the empty text")
        at = begun.end()
        found = f'"{_shown(self._text[at])}" ({ord(self._text[at])})' if at < len(self._text) else END
        after = _shown(begun[1])
        raise invalid(f'Lexical error at {self.place(at)}. Encountered: {found}, after: "{after}".')


def _shown(text: str) -> str:
    """Text of a query as messages show it: not all of it, and on one line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:_SHOWN])


def unquote(image: str) -> str:
    """What a string literal or a name in backquotes says: its quotes taken off, its escapes resolved."""
    return _ESCAPE_OR_DOUBLED.sub(_resolve, image[1:-1])


def _resolve(match: re.Match[str]) -> str:
    escaped = match[1]
    return match[0][0] if escaped is None else _ESCAPES.get(escaped, escaped)
