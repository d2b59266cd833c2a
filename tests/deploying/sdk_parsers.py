"""Run by the SDK's Python, not by pytest: asks gcloud's own parsers about files, and writes their answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def parse_app(path):
    """As `gcloud app deploy` does: checked, then turned into what the Admin API takes."""
    from googlecloudsdk.api_lib.app import yaml_parsing
    from googlecloudsdk.appengine.admin.tools.conversion import convert_yaml

    checked = yaml_parsing.ServiceYamlInfo.FromFile(path)
    if checked.RequiresImage():
        raise ValueError("gcloud would build an image of it, and refuse the Dockerfile beside it")
    return convert_yaml.GetSchemaParser("v1").ConvertValue(checked.parsed.ToDict())


def parse_configuration(path):
    """cron.yaml and index.yaml, which gcloud tells apart by their names."""
    from googlecloudsdk.api_lib.app import yaml_parsing

    checked = yaml_parsing.ConfigYamlInfo.FromFile(path)
    if checked is None:
        raise ValueError("gcloud does not know a file of this name")
    entries = checked.parsed.cron if checked.name == "cron" else checked.parsed.indexes
    return [each.ToDict() for each in entries or ()]


def parse_build(path):
    """As `gcloud builds submit` does."""
    from googlecloudsdk.api_lib.cloudbuild import cloudbuild_util, config

    build = config.LoadCloudbuildConfigFromPath(path, cloudbuild_util.GetMessagesModule())
    return [each.id for each in build.steps]


KINDS = {"app": parse_app, "configuration": parse_configuration, "build": parse_build}


def _answer(kind, path):
    try:
        return {"parsed": KINDS[kind](path)}
    except Exception as error:  # noqa: BLE001 - a refusal is an answer, whatever gcloud raises
        return {"refused": f"{type(error).__name__}: {error}"}


def main():
    """Reads pairs of a kind and a path from the standard input; writes an answer for each."""
    root = Path(sys.argv[1])
    sys.path[:0] = [str(root / "lib"), str(root / "lib" / "third_party")]
    # dump() takes YAML's own kinds of mapping and list for what they are.
    json.dump([_answer(kind, path) for kind, path in json.load(sys.stdin)], sys.stdout, default=str)


if __name__ == "__main__":
    main()
