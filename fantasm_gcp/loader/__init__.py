"""The shell around the definitions: files of YAML to ``core.parse``, dotted names to users' code.

Only here is YAML known and only here is users' code imported.
"""

from __future__ import annotations

from fantasm_gcp.loader.actions import Actions, load_actions, resolve_action
from fantasm_gcp.loader.app_yaml import AppYaml, parse_app_yaml, read_app_yaml
from fantasm_gcp.loader.casts import load_casts, resolve_cast
from fantasm_gcp.loader.files import BUILT_IN_FILE, load_definitions, parse_text
from fantasm_gcp.loader.index_yaml import CompositeIndex, IndexFile, load_indexes, parse_indexes
from fantasm_gcp.loader.queue_yaml import QueueEntry, QueueFile, load_queues, parse_queues
from fantasm_gcp.loader.tree import MAX_DEPTH, MAX_NODES, YAML_PARSER, parse_tree

__all__ = [
    "BUILT_IN_FILE",
    "MAX_DEPTH",
    "MAX_NODES",
    "YAML_PARSER",
    "Actions",
    "AppYaml",
    "CompositeIndex",
    "IndexFile",
    "QueueEntry",
    "QueueFile",
    "load_actions",
    "load_casts",
    "load_definitions",
    "load_indexes",
    "load_queues",
    "parse_app_yaml",
    "parse_indexes",
    "parse_queues",
    "parse_text",
    "parse_tree",
    "read_app_yaml",
    "resolve_action",
    "resolve_cast",
]
