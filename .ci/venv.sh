#!/bin/sh
# Makes .venv with what is pinned, or finds it made: `sh .ci/venv.sh run` for the application,
# `sh .ci/venv.sh test` with the tools of pyproject.toml besides. PYTHON names the interpreter to begin with.
# Prints nothing when there is nothing to do; ends with status 2 and one line that says what to do otherwise.
set -eu

purpose=$1
venv=.venv
python=$venv/bin/python
stamp=$venv/made-to-$purpose

fail() {
    echo "make: $1" >&2
    exit 2
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# What the environment depends on; a directory that was moved has to make it again.
wanted=$(
    pwd
    cksum .ci/venv.sh requirements.txt
    if [ "$purpose" = test ]; then cksum pyproject.toml; fi
)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && is_new_enough "$python"; then
    exit 0
fi

find_python() {
    for each in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$each"; then
            echo "$each"
            return
        fi
    done
    found=$("${PYTHON:-python3}" -V 2>&1) || found="no ${PYTHON:-python3}"
    fail "Python 3.11 or newer is needed, and here is $found: install one, or name it: make $purpose PYTHON=/path/to/python3.12"
}

make_environment() {
    base=$(find_python)
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$base" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python $version lacks its venv module: install it (Debian, Ubuntu: apt install python$version-venv)"
    rm -rf "$venv"
    # Its complaint is its last line; what stands before it is a traceback.
    said=$("$base" -m venv "$venv" 2>&1) ||
        fail "$venv could not be made: $(echo "$said" | tail -n 1)"
}

install() {
    # A person's own settings for pip hold, but for one that cannot work here.
    said=$(PIP_USER=0 "$python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 "$@" 2>&1) || {
        echo "$said" | grep -v '^WARNING' | tail -n 1 >&2
        fail "the packages could not be installed: make sure that pip reaches a package registry, then make $purpose again"
    }
}

made_in=$(cat "$venv"/made-to-* 2>/dev/null | head -n 1)
if [ "$made_in" != "$(pwd)" ] || ! is_new_enough "$python"; then
    make_environment
fi
rm -f "$stamp"
echo "Installing into $venv, once ..."
if [ "$purpose" = test ]; then
    tools=$("$python" -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["optional-dependencies"]["dev"]))')
    # None of the pinned tools has a space in its name or version.
    # shellcheck disable=SC2086
    install -r requirements.txt $tools
else
    install -r requirements.txt
fi
echo "$wanted" >"$stamp"
