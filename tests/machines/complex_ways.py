"""The namespace of some transitions."""

from __future__ import annotations

import logging
from typing import Any

from machines.complex_places import Place, visit

AGAIN = "once-more"


class OnAgain(Place):
    place, tags = "on again", ("transition",)


def on_back(context: Any, obj: Any) -> None:
    visit(context, "on back", logging.ERROR, "transition", "loop")


def on_review(context: Any, obj: Any) -> None:
    visit(context, "on review")
