"""Who is told of the end of an instance: a machine by its name, anybody else by an absolute URL.

Here is what may be written. Which hosts an application calls is a setting of its own: a URL that is fine
here may still be refused there.
"""

from __future__ import annotations

import re

from fantasm_gcp.core.definition import NAME_PATTERN
from fantasm_gcp.core.endpoints import parse_endpoint

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""The hosts that may be named without encryption. Only local mode calls them."""


def is_url(receiver: str) -> bool:
    """Whether a receiver is a URL, and not the name of a machine."""
    return re.fullmatch(NAME_PATTERN, receiver) is None


def mistake_in(receiver: str) -> str:
    """Why a text can be no receiver, or what to write instead; an empty string for one that can.

    A machine's name is looked at as a name only: whether there is that machine is not known here.
    """
    if not is_url(receiver):
        return ""
    if "://" not in receiver:
        return "write the name of a machine, or a URL that begins with https://"
    try:
        endpoint = parse_endpoint(receiver)
    except ValueError as error:
        return str(error)
    if endpoint.scheme == "http" and endpoint.host not in LOCAL_HOSTS:
        return "http:// is for this machine alone, in local mode: write https://"
    return ""
