"""Pictures of machines: SVG by our own layered layout, and text for Graphviz and Mermaid.

``card`` measures a state's box and ``scene`` a whole machine; ``layering``, ``ordering``, ``alignment`` and
``routing`` are the steps of ``layout``, which knows only sizes and links; ``svg`` draws, ``text`` writes.
"""

from fantasm_gcp.diagram.card import StateCounts
from fantasm_gcp.diagram.svg import render_svg
from fantasm_gcp.diagram.text import render_dot, render_mermaid

__all__ = ["StateCounts", "render_dot", "render_mermaid", "render_svg"]
