"""app.yaml: what of it is read, what App Engine makes of its variables, and where its mistakes are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import parse_app_yaml, read_app_yaml

WHOLE = """\
runtime: python312
service: shop
instance_class: F2
app_engine_apis: true
entrypoint: gunicorn -b :$PORT main:app
service_account: shop@p.iam.gserviceaccount.com
inbound_services: [warmup]
build_env_variables: {A: 010}
env_variables:
  FANTASM_OPERATORS: ada@example.com
  FANTASM_RESUME_RATE: 50
  EMPTY: ''
  SINCE: 2026-01-01
handlers:
- url: /static
  static_dir: static
- url: /fantasm/fsm/.*
  script: auto
- url: /fantasm/.*
  script: auto
  login: admin
- url: /.*
  script: auto
  secure: always
automatic_scaling:
  max_instances: 10
"""


def problems(text: str) -> list[str]:
    """The first line of each problem of a file, without the file's name."""
    with pytest.raises(DefinitionError) as caught:
        parse_app_yaml(text, "app.yaml")
    return [str(each).splitlines()[0].removeprefix("app.yaml:") for each in caught.value.problems]


def variables(lines: str) -> list[str]:
    """The problems of a file with these variables."""
    return problems(f"runtime: python312\nenv_variables:\n  {lines}\n")


def test_a_whole_file_is_read():
    """What nobody here needs is passed over, however it is written."""
    read = parse_app_yaml(WHOLE, "app.yaml")
    expected = {
        "FANTASM_OPERATORS": "ada@example.com",
        "FANTASM_RESUME_RATE": "50",
        "EMPTY": "",
        "SINCE": "2026-01-01",
    }
    assert expected == dict(read.env_variables)
    assert ("shop", "python312", ("warmup",), ()) == (
        read.service,
        read.runtime,
        read.inbound_services,
        read.warnings,
    )
    assert ("gunicorn -b :$PORT main:app", "shop@p.iam.gserviceaccount.com") == (
        read.entrypoint,
        read.service_account,
    )
    assert (True, True) == (read.has_app_engine_apis, read.has_login_admin)


@pytest.mark.parametrize(
    ("path", "login"),
    [
        ("/", "optional"),
        ("/static/a.css", "optional"),
        ("/fantasm/", "admin"),
        ("/fantasm", "optional"),
        ("/fantasm/fsm/Order/", "optional"),
        ("/fantasm/instances/x", "admin"),
        ("/other/fantasm/", "optional"),
    ],
)
def test_the_first_handler_that_takes_a_path_says_who_may_come(path, login):
    """Its expression is for the whole path, that of a directory for the beginning."""
    assert login == parse_app_yaml(WHOLE, "app.yaml").login_for(path)


def test_a_file_needs_a_runtime_alone():
    """Without handlers everybody comes to every path."""
    read = parse_app_yaml("runtime: python312", "app.yaml")
    assert ("default", {}, False, False, "optional") == (
        read.service,
        dict(read.env_variables),
        read.has_login_admin,
        read.has_app_engine_apis,
        read.login_for("/fantasm/"),
    )


def test_the_old_name_of_a_service_will_do_alone():
    """gcloud takes `module`, and refuses both."""
    assert "old" == parse_app_yaml("runtime: python312\nmodule: old", "app.yaml").service
    assert ["2:9: error: module is the old name of service; take it out"] == problems(
        "runtime: python312\nmodule: a\nservice: b"
    )


def test_files_that_are_included_are_told():
    """Their variables are App Engine's to add."""
    read = parse_app_yaml("runtime: python312\nincludes: [more.yaml]", "app.yaml")
    assert ["includes is not followed: what those files add is not seen here"] == [
        each.message for each in read.warnings
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A: true", "3:6: error: A is not quoted, so App Engine gives 'True' to the application; write it in quotes: 'true'"),
        ("A: 010", "3:6: error: A is not quoted, so App Engine gives '8' to the application; write it in quotes: '010'"),
        ("A: 1_000", "3:6: error: A is not quoted, so App Engine gives '1000' to the application; write it in quotes: '1_000'"),
        ("A:", "3:5: error: A is not quoted, so App Engine gives 'None' to the application; write it in quotes: ''"),
        ("A: [a, b]", "3:6: error: A is a single value; write a text, in quotes"),
        ("A: {b: c}", "3:6: error: A is a single value; write a text, in quotes"),
        ("A: !!python/none x", "3:6: error: the tag 'tag:yaml.org,2002:python/none' is not allowed"),
        ("A-B: x", "3:3: error: 'A-B' is no name of a variable; letters, digits and _"),
        ("1A: x", "3:3: error: '1A' is no name of a variable; letters, digits and _"),
        ("? [a]\n  : x", "3:5: error: '' is no name of a variable; letters, digits and _"),
        ("A: x\n  A: y", "4:3: error: A is written twice"),
        ("- A", "3:3: error: env_variables is a mapping; write 'name: value' in each line"),
    ],
)  # fmt: skip
def test_a_variable_that_would_be_another_is_told_at_its_place(line, expected):
    """With what App Engine would give to the application."""
    assert [expected] == variables(line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: error: the file is empty; it begins with 'runtime:'"),
        ("[]", "1:1: error: the file is a mapping; write 'name: value' in each line"),
        ("service: a", "1:1: error: the file needs 'runtime'; write it like python312"),
        ("runtime: 312", "1:10: error: runtime '312' is none; write it like python312"),
        ("runtime: python312\nenv_vars: {}", "2:1: error: the file has no attribute 'env_vars'; did you mean 'env_variables'?"),
        ("runtime: python312\nservice: My_shop", "2:10: error: service 'My_shop' is not allowed; up to 63 small letters, digits and dashes"),
        ("runtime: python312\nservice: on", "2:10: error: service 'on' is a bool in YAML; write it in quotes: 'on'"),
        ("runtime: python312\napp_engine_apis: 'true'", "2:18: error: app_engine_apis is true or false"),
        ("runtime: python312\nhandlers: {url: /}", "2:11: error: handlers is a list; begin each item with a dash: '- '"),
        ("runtime: python312\nhandlers:\n- /", "3:3: error: a handler is a mapping; write 'name: value' in each line"),
        ("runtime: python312\nhandlers:\n- login: admin", "3:3: error: a handler needs 'url'; write a regular expression for the whole path, as /fantasm/.*"),
        ("runtime: python312\nhandlers:\n- {url: /, login: Admin}", "3:19: error: login 'Admin' is not allowed; did you mean 'admin'?"),
        ("runtime: python312\nhandlers:\n- url: '/('", "3:8: error: url '/(' is no regular expression: missing ), unterminated subpattern at position 1; write a regular expression for the whole path, as /fantasm/.*"),
    ],
)  # fmt: skip
def test_what_is_no_app_yaml_is_told(text, expected):
    """Down to an empty file, and to a name that is nearly one that is read."""
    assert [expected] == problems(text)


def test_all_mistakes_are_told_at_once():
    """In the order of the file."""
    text = "service: A\nruntime: 1\nenv_variables: {A: on, B: [x]}\n"
    assert ["1:10", "2:10", "3:20", "3:27"] == [each.partition(": ")[0] for each in problems(text)]


def test_a_file_is_read_from_the_disk(tmp_path):
    """Or what is wrong with it is told."""
    path = tmp_path / "app.yaml"
    path.write_text("runtime: python312\n")
    assert "python312" == read_app_yaml(path).runtime
    with pytest.raises(DefinitionError, match=r"there is no file 'apps\.yaml' in"):
        read_app_yaml(tmp_path / "apps.yaml")


VALUES = (
    *(
        "true",
        "on",
        "No",
        "1",
        "-1",
        "1.0",
        ".5",
        "1.50",
        "010",
        "0x10",
        "0o7",
        "1:30",
        "1_000",
        "~",
        "null",
        "",
    ),
    *(
        "2026-01-01",
        "'true'",
        '"1"',
        "a b",
        "''",
        "!x",
        ".inf",
        ".NaN",
        "1.0e+3",
        "12345678901234567890",
        "+1",
    ),
)
_AS_GCLOUD = """
import json, sys, warnings
warnings.simplefilter("ignore")
sys.path[:0] = sys.argv[1:3]
from googlecloudsdk.appengine.api import appinfo
made = {}
for value in json.load(sys.stdin):
    try:
        read = appinfo.LoadSingleAppInfo("runtime: python312\\nenv_variables:\\n  A: %s\\n" % value)
        made[value] = read.env_variables["A"]
    except Exception:
        made[value] = None
print(json.dumps(made))
"""


def test_a_variable_that_is_taken_is_what_gcloud_makes_of_it():
    """By gcloud's own parser, where it is installed; what would be something else is refused."""
    gcloud = shutil.which("gcloud")
    library = Path(gcloud).resolve().parents[1] / "lib" if gcloud else Path("none")
    if not (library / "googlecloudsdk" / "appengine" / "api" / "appinfo.py").is_file():
        pytest.skip("gcloud is not installed")
    done = subprocess.run(
        [sys.executable, "-c", _AS_GCLOUD, str(library), str(library / "third_party")],
        input=json.dumps(VALUES),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    for value in VALUES:
        try:
            read = parse_app_yaml(f"runtime: python312\nenv_variables:\n  A: {value}\n", "app.yaml")
        except DefinitionError:
            continue
        assert theirs[value] == read.env_variables["A"], value
