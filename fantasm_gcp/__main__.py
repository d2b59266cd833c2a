"""`python -m fantasm_gcp` is the command `fantasm` where the package is not installed."""

from fantasm_gcp.cli.main import main

main(prog_name="fantasm")
