"""Actions that page through an HTTP API and fetch what it lists."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import requests
from google.cloud import datastore

from fantasm_gcp import HaltMachineError, RetryLater
from fantasm_gcp.action import ContinuationFSMAction, FSMAction
from machines.stage import ran

API = "https://api.example.org/links"
TIMEOUT = 10


class Pages(ContinuationFSMAction):
    """A branch for each link of a page."""

    def continuation(self, context: Any, obj: Any, token: Any = None) -> Any:
        ran(context, f"page {token or 1}")
        answer = requests.get(API, params={"page": token or "1"}, timeout=TIMEOUT)
        answer.raise_for_status()
        obj["links"] = answer.json()["links"]
        return answer.json()["next"]

    def execute(self, context: Any, obj: Any) -> str | None:
        if not obj["links"]:
            ran(context, "empty page")
            return None
        first, *others = obj["links"]
        for each in others:
            context.fork(data={"url": each, "host": urlsplit(each).hostname})
        context["url"], context["host"] = first, urlsplit(first).hostname
        ran(context, "links")
        return "link"


class Fetch(FSMAction):
    """Fetches a link; waits where it is asked to, and gives up what is not there."""

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "fetch")
        answer = requests.get(context["url"], timeout=TIMEOUT)
        if answer.status_code == 404:
            raise HaltMachineError(f"{context['url']} is gone", logLevel=logging.WARNING)
        if "Retry-After" in answer.headers:
            raise RetryLater(float(answer.headers["Retry-After"]), f"{context['host']} is busy")
        answer.raise_for_status()
        context["size"] = len(answer.content)
        return "fetched"


class ByHost(FSMAction):
    """Adds up the bytes of a host; late ones come in a batch of their own."""

    def execute(self, contexts: Any, obj: Any) -> None:
        ran(contexts, f"by host {contexts[0]['host']}")
        (host,) = {each["host"] for each in contexts}
        client = contexts.datastore
        key = client.key("Host", host)
        total = client.get(key) or datastore.Entity(key)
        total["bytes"] = total.get("bytes", 0) + sum(each["size"] for each in contexts)
        total["batches"] = [*total.get("batches", []), len(contexts)]
        client.put(total)
