"""Run by the SDK's Python, not by pytest: asks gcloud's own parser about commands, and runs none of them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path


def main():
    """Reads lists of arguments from the standard input; writes for each what gcloud has against it, or nothing."""
    root = Path(sys.argv[1])
    sys.path[:0] = [str(root / "lib"), str(root / "lib" / "third_party")]
    answers, sys.stdout = sys.stdout, io.StringIO()  # where it may write what it likes
    sys.stderr = said = io.StringIO()  # before gcloud is loaded, which keeps the one that it finds
    from googlecloudsdk import gcloud_main

    parser = gcloud_main.CreateCLI(
        []
    )._CLI__parser  # what `gcloud` itself parses with; there is no other way to it
    told = []
    for arguments in json.load(sys.stdin):
        said.seek(0)
        said.truncate()
        try:
            parser.parse_args(arguments)
            told.append("")
        except SystemExit:
            told.append(said.getvalue() or "refused")
    json.dump(told, answers)


if __name__ == "__main__":
    main()
