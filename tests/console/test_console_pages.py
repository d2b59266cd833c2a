"""What the console's pages say, and where they lead."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

import pytest
from console_stage import (
    MAILS,
    NOW,
    ORDERS,
    Element,
    Stage,
    application,
    definitions,
    instance,
    line,
    read_page,
    record,
    step,
    task,
)
from flask.testing import FlaskClient

from fantasm_gcp.console.views import LATEST, LISTED, STEPS
from fantasm_gcp.core.definition import (
    AT_LEAST_ONCE,
    PSEUDO_FINAL,
    Countdown,
    Machine,
    State,
    Transition,
)
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.node import Place
from fantasm_gcp.core.records import Collection, InstanceStatus, Outcome
from fantasm_gcp.errors import Problem


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    return application(stage).test_client()


def page(client: FlaskClient, path: str, status: int = 200) -> Element:
    """The page at a path under /fantasm, checked to be well-formed HTML."""
    answer = client.get(f"/fantasm{path}")
    assert status == answer.status_code
    return read_page(answer.text)


def links(element: Element) -> list[str]:
    return [each.attributes["href"] for each in element.all("a")]


def test_home_counts_the_instances_of_each_machine_by_status(stage: Stage, client: FlaskClient) -> None:
    """Each machine has a row with its instances of each status, its states and queues."""
    stage.history.instances_ = [
        instance("a"),
        instance("b"),
        instance("c", "failed"),
        instance("d", "completed"),
        instance("e", "cancelled"),
        instance("f", "cancelled"),
    ]

    rows = page(client, "/").one("section", id="machines").rows()

    assert [
        [
            "Orders",
            *("2 running", "0 paused", "1 failed", "1 completed", "2 cancelled"),
            *("3", "default, slow", "no warnings"),
        ],
        [
            "Mails",
            *("0 running", "0 paused", "0 failed", "0 completed", "0 cancelled"),
            *("1", "mails", "no warnings"),
        ],
    ] == rows


def test_every_count_of_home_leads_to_the_instances_it_counts(client: FlaskClient) -> None:
    """A number links to the list filtered by its machine and status, zero as well."""
    found = links(page(client, "/").one("tr", id="machine-Orders"))

    assert [
        "/fantasm/machines/Orders",
        "/fantasm/instances?machine=Orders&status=running",
        "/fantasm/instances?machine=Orders&status=paused",
        "/fantasm/instances?machine=Orders&status=failed",
        "/fantasm/instances?machine=Orders&status=completed",
        "/fantasm/instances?machine=Orders&status=cancelled",
    ] == found


def test_home_lists_the_latest_instances_newest_first(stage: Stage, client: FlaskClient) -> None:
    """Of more instances than fit the newest are shown, with times in UTC and how long they took."""
    stage.history.instances_ = [
        instance(f"i-{age}", "completed", age=age) for age in range(LATEST + 5, 0, -1)
    ]

    rows = page(client, "/").one("section", id="latest").rows()

    assert [f"i-{age}" for age in range(1, LATEST + 1)] == [row[0] for row in rows]
    assert ["i-1", "Orders", "completed", "2026-11-22 03:51:22 UTC 1 s ago", "10 s"] == rows[0]


def test_home_without_instances_says_how_to_start_one(client: FlaskClient) -> None:
    """The empty state leads to the first machine, and has a command."""
    latest = page(client, "/").one("section", id="latest")

    assert ["/fantasm/machines/Orders"] == links(latest)
    assert "curl -X POST 'http://localhost/fantasm/fsm/Orders/?name=value'" == latest.one("pre").text


def test_home_without_machines_shows_a_definition_to_write(stage: Stage, client: FlaskClient) -> None:
    """Where no machine is defined the page names the file and has an example for it."""
    stage.definitions = definitions()

    home = page(client, "/")

    assert "fsm.yaml defines no machine." in home.text
    assert home.one("pre").text.startswith("state_machines:")
    assert [] == home.all("table")


@pytest.mark.parametrize("path", ["/", "/machines/Mails"])
def test_a_machine_without_records_is_not_counted(stage: Stage, client: FlaskClient, path: str) -> None:
    """At least once keeps no records: a zero would be a lie, so the pages say that instead."""
    stage.definitions = definitions(replace(MAILS, guarantee=AT_LEAST_ONCE))

    shown = page(client, path).text

    assert "no records" in shown
    assert "0 running" not in shown


def test_a_machine_can_be_started_from_its_page(client: FlaskClient) -> None:
    """The form posts to the start path; it lies in no region that a refresh changes while it answers."""
    machine = page(client, "/machines/Mails")

    form = machine.one("form", class_="start")
    assert ("post", "/fantasm/fsm/Mails/") == (form.attributes["method"], form.attributes["action"])
    assert ["button", "span", "input"] == [each.tag for each in form.content if isinstance(each, Element)]
    regions = [each for each in machine.walk() if "data-live" in each.attributes]
    assert [] == [form for region in regions for form in region.all("form", data_start="")]


def test_a_machine_has_its_diagram_with_counts(stage: Stage, client: FlaskClient) -> None:
    """Badges of the picture and cells of the table come from the same counts."""
    stage.history.tasks_ = [
        task(step("a"), failed=True, error="E"),
        task(step("a", n=2)),
        task(step("b", "Ship")),
    ]

    machine = page(client, "/machines/Orders")

    boxes = {
        each.attributes["data-state"]: each.text
        for each in machine.all("g")
        if "data-state" in each.attributes
    }
    assert {"Receive", "Pay", "Ship"} == set(boxes)
    assert "1 failed" in boxes["Pay"]
    assert [["0", "0"], ["1", "1"], ["1", "0"]] == [
        row[1:3] for row in machine.one("tbody", id="states").rows()
    ]


def test_states_of_the_diagram_lead_to_their_rows(client: FlaskClient) -> None:
    """Every link within the page has a target in it."""
    machine = page(client, "/machines/Orders")

    ids = {each.attributes["id"] for each in machine.walk() if "id" in each.attributes}
    targets = {unquote(each[1:]) for each in links(machine) if each.startswith("#")}
    assert {"state-Receive", "state-Pay", "state-Ship", "content"} == targets
    assert targets <= ids


def test_a_machine_tells_what_its_states_are(client: FlaskClient) -> None:
    """The table has each state's traits, action and transitions, with a queue that is not the machine's."""
    rows = page(client, "/machines/Orders").one("tbody", id="states").rows()

    assert ["Receive initial continuation", "0", "0", "shop.Receive", "ok → to Pay"] == rows[0]
    assert ["Pay transactional", "0", "0", "shop.Pay", "paid → to Ship queue slow refused → to Pay"] == rows[
        1
    ]
    assert ["Ship final fan-in 3 s", "0", "0", "shop.Ship", "none"] == rows[2]


def test_a_warning_is_on_the_page_of_its_machine(stage: Stage, client: FlaskClient) -> None:
    """A warning belongs to the machine with something at its place; one of no machine is on the home page."""
    dead = Problem("warning", "fsm.yaml", 7, 3, "  - event: ok", "event 'ok' cannot happen", "remove it")
    loose = Problem("warning", "fsm.yaml", 1, 1, "x: 1", "nobody reads x")
    places = {
        ("Orders",): Place("fsm.yaml", 2, 1, ""),
        ("Orders", "states", "Pay", "transitions", "ok"): Place("fsm.yaml", 7, 3, ""),
        ("Mails",): Place("other.yaml", 7, 3, ""),
    }
    stage.definitions = definitions(ORDERS, MAILS, warnings=(dead, loose), places=places)

    home = page(client, "/")
    assert (
        "event 'ok' cannot happen; remove it"
        in page(client, "/machines/Orders").one("section", id="warnings").text
    )
    assert [] == page(client, "/machines/Mails").all("section", id="warnings")
    assert ["1 warning", "no warnings"] == [row[-1] for row in home.one("section", id="machines").rows()]
    assert "nobody reads x" in home.text
    assert "cannot happen" not in home.text


def test_a_machine_lists_only_its_own_instances(stage: Stage, client: FlaskClient) -> None:
    """Instances of other machines are elsewhere."""
    stage.history.instances_ = [instance("mine"), instance("other", machine="Mails")]

    assert ["mine"] == [row[0] for row in page(client, "/machines/Orders").one("section", id="latest").rows()]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("?machine=Orders", ["a", "b"]),
        ("?status=failed", ["b", "c"]),
        ("?machine=Orders&status=failed", ["b"]),
        ("?machine=&status=", ["a", "b", "c"]),
    ],
)
def test_instances_are_filtered(stage: Stage, client: FlaskClient, query: str, expected: list[str]) -> None:
    """The query has the filters, the form shows them."""
    stage.history.instances_ = [
        instance("a", age=1),
        instance("b", "failed", age=2),
        instance("c", "failed", machine="Mails", age=3),
    ]

    assert expected == [
        row[0] for row in page(client, f"/instances{query}").one("section", id="instances").rows()
    ]


def test_the_filter_form_shows_what_is_chosen(client: FlaskClient) -> None:
    """The selected options are those of the address."""
    chosen = page(client, "/instances?machine=Mails&status=failed").all("option", selected="")

    assert ["Mails", "failed"] == [each.text for each in chosen]


@pytest.mark.parametrize("count", [0, 1, LISTED - 1, LISTED, LISTED + 1, 2 * LISTED, 2 * LISTED + 1])
def test_pages_of_instances_show_each_once(stage: Stage, client: FlaskClient, count: int) -> None:
    """Following the next page to the end meets every instance once, filters kept."""
    stage.history.instances_ = [instance(f"i{n}", age=n + 1) for n in range(count)]
    stage.history.instances_ += [instance("other", machine="Mails")]
    seen: list[str] = []
    path = "/instances?machine=Orders&status=running"
    while path:
        shown = page(client, path)
        seen += [row[0] for row in shown.one("section", id="instances").rows()]
        following = shown.all("a", rel="next")
        assert len(following) <= 1
        path = following[0].attributes["href"].removeprefix("/fantasm") if following else ""

    assert [f"i{n}" for n in range(count)] == seen


def test_a_page_after_the_last_leads_back(stage: Stage, client: FlaskClient) -> None:
    """Datastore may answer a cursor with nothing behind it."""
    stage.history.instances_ = [instance("a")]

    shown = page(client, "/instances?machine=Orders&cursor=50")

    assert "That was the last page." in shown.text
    assert "/fantasm/instances?machine=Orders" in links(shown.one("section", id="instances"))


def test_filters_that_match_nothing_say_so(stage: Stage, client: FlaskClient) -> None:
    """The empty list names the filters and leads to what there is."""
    stage.history.instances_ = [instance("a")]

    shown = page(client, "/instances?machine=Orders&status=failed").one("section", id="instances")

    assert "No failed instances of Orders." in shown.text
    assert ["/fantasm/instances?machine=Orders"] == links(shown)


def test_instances_of_a_machine_that_is_gone_can_be_listed(stage: Stage, client: FlaskClient) -> None:
    """A deploy that removes a machine leaves its instances; the filter offers it while it is chosen."""
    stage.history.instances_ = [instance("old", machine="Gone")]

    shown = page(client, "/instances?machine=Gone")

    assert ["old"] == [row[0] for row in shown.one("section", id="instances").rows()]
    assert ["Gone"] == [each.text for each in shown.all("option", selected="")]


def test_an_instance_has_its_status_and_times(stage: Stage, client: FlaskClient) -> None:
    """Times are in UTC with the distance from now, and machine-readable."""
    stage.history.instances_ = [instance("a", "completed", age=3700)]

    facts = page(client, "/instances/a").one("dl", id="facts")

    assert [
        "completed",
        "2026-11-22 02:49:43 UTC 1 h ago",
        "2026-11-22 02:49:53 UTC 1 h ago",
        "10 s",
        "JSON",
    ] == [each.text for each in facts.all("dd")]
    stamps = [(each.attributes["datetime"], each.attributes["title"]) for each in facts.all("time")]
    assert [("2026-11-22T02:49:43.000Z",) * 2, ("2026-11-22T02:49:53.000Z",) * 2] == stamps
    assert ["/fantasm/api/instances/a"] == links(facts)


def test_a_running_instance_has_no_end_and_elapses(stage: Stage, client: FlaskClient) -> None:
    """Elapsed is until now while there is no end."""
    stage.history.instances_ = [instance("a", age=75)]

    facts = page(client, "/instances/a").one("dl", id="facts")

    assert ["running", "2026-11-22 03:50:08 UTC 1 min ago", "1 min 15 s", "JSON"] == [
        each.text for each in facts.all("dd")
    ]


def test_an_instance_counts_its_steps_by_state(stage: Stage, client: FlaskClient) -> None:
    """The table beside the diagram has the instance's own steps only, with those that are over."""
    stage.history.instances_ = [instance("a")]
    stage.history.tasks_ = [task(step("a")), task(step("b"))]
    stage.history.records_ = [record(step("a", "Receive", n=0)), record(step("b", "Receive", n=0))]

    shown = page(client, "/instances/a")

    assert [["Receive", "0", "0", "1"], ["Pay", "1", "0", "0"], ["Ship", "0", "0", "0"]] == shown.one(
        "tbody", id="states"
    ).rows()
    assert 1 == len(shown.all("svg", class_="fsm-diagram"))


def test_failed_steps_come_first_with_their_error(stage: Stage, client: FlaskClient) -> None:
    """A failed step has its error in sight, traceback and context folded, attempts and redrives counted."""
    stage.history.instances_ = [instance("a", "failed")]
    stage.history.tasks_ = [task(step("a"), failed=True, error="ValueError: no", attempts=3, epoch=2)]

    shown = page(client, "/instances/a")

    failure = shown.one("article")
    assert "ValueError: no" == failure.one("p", class_="error").text
    assert ["traceback", "context"] == [each.text.split()[0] for each in failure.all("summary")]
    assert ["Traceback of ValueError: no", '{ "a": 1 }'] == [each.text for each in failure.all("pre")]
    assert "3 attempts · redriven 2 times" in failure.text
    assert ["Failed steps", "Diagram", "Steps in flight", "Steps that are over"] == [
        each.text for each in shown.all("h2")
    ]


def test_steps_in_flight_say_what_they_wait_for(stage: Stage, client: FlaskClient) -> None:
    """Due now is queued, due later waits or collects, an error so far is a retry; the first due is first."""
    stage.history.instances_ = [instance("a")]
    window = Collection("group", StepName("window"))
    stage.history.tasks_ = [
        task(step("a", n=4), due=NOW + 30, collection=window),
        task(step("a", n=3), due=NOW + 20),
        task(step("a", n=1), due=NOW),
        task(step("a", n=2), due=NOW + 10, error="OSError: later", attempts=4),
    ]

    rows = page(client, "/instances/a").one("section", id="in_flight").rows()

    assert ["queued", "retrying", "waiting", "collecting"] == [row[1].split()[0] for row in rows]
    assert "OSError: later" in rows[1][1]
    assert ["0", "4", "0", "0"] == [row[3] for row in rows]
    assert "in 30 s" in rows[3][2]


def test_steps_that_are_over_are_in_order_of_time(stage: Stage, client: FlaskClient) -> None:
    """Whatever order the store has, a page of steps reads as a story."""
    stage.history.instances_ = [instance("a", "completed")]
    first = replace(step("a", "Receive", n=0), state="pseudo-init", event="pseudo-init")
    stage.history.records_ = [
        record(step("a", "Ship", n=2), began=NOW - 1, took=61, event=None, ends_branch=True, entries=3),
        record(
            step("a", "Pay", n=1), began=NOW - 20, attempts=2, outcome=Outcome.HALTED, note="nothing left"
        ),
        record(first, began=NOW - 30, event="ok"),
    ]

    rows = page(client, "/instances/a").one("section", id="over").rows()

    assert ["03:50:53.000", "Receive", "completed", "ok", "250 ms", "1", "start", "main #0"] == rows[0][:8]
    assert '{ "a": 1 }' in rows[0][8]
    assert ["03:51:03.000", "Pay", "halted nothing left", "paid", "250 ms", "2"] == rows[1][:6]
    assert ["03:51:22.000", "Ship", "completed 3 collected", "no event end of branch", "1 min 1 s"] == rows[
        2
    ][:5]


@pytest.mark.parametrize("count", [STEPS - 1, STEPS, STEPS + 1])
def test_pages_of_steps_show_each_once(stage: Stage, client: FlaskClient, count: int) -> None:
    """Following the next page of steps to the end meets every step once; a part says how many there are."""
    stage.history.instances_ = [instance("a")]
    stage.history.records_ = [record(step("a", n=n), began=NOW - n) for n in range(count)]
    seen: list[str] = []
    path = "/instances/a"
    while path:
        over = page(client, path).one("section", id="over")
        assert not over.all("nav") or f"of {count} on this page" in over.text or not over.rows()
        seen += [row[7] for row in over.rows()]
        following = over.all("a", rel="next")
        path = following[0].attributes["href"].removeprefix("/fantasm").partition("#")[0] if following else ""

    assert sorted(f"main #{n}" for n in range(count)) == sorted(seen)


def test_the_lists_of_an_instance_page_by_themselves(stage: Stage, client: FlaskClient) -> None:
    """The cursor of one list moves no other."""
    stage.history.instances_ = [instance("a", "failed")]
    stage.history.tasks_ = [task(step("a", n=n), failed=True, error=f"E{n}") for n in range(LISTED + 1)]
    stage.history.tasks_ += [task(step("a", n=n)) for n in range(LISTED + 2)]

    shown = page(client, f"/instances/a?in_flight={LISTED}")

    assert LISTED == len(shown.all("article"))
    assert 2 == len(shown.one("section", id="in_flight").rows())
    assert f"/fantasm/instances/a?failed={LISTED}#failed" in links(shown)


@pytest.mark.parametrize("encoded", [b"", b'{"a":"' + b"x" * 4000 + b'"}'])
def test_a_large_context_is_a_link_away(stage: Stage, client: FlaskClient, encoded: bytes) -> None:
    """What is too large for a page, or was left out of the list, is not cut but linked to."""
    stage.history.instances_ = [instance("a")]
    at = step("a")
    stage.history.records_ = [record(at, context=encoded)]

    over = page(client, "/instances/a").one("section", id="over")

    assert [] == over.all("pre")
    assert [f"/fantasm/api/instances/a/steps/{at.name}"] == links(over)


def test_an_instance_of_an_unknown_machine_is_shown_without_diagram(
    stage: Stage, client: FlaskClient
) -> None:
    """A deployment may lack a machine that an instance of another one runs."""
    stage.history.instances_ = [instance("a", machine="Gone")]
    stage.history.tasks_ = [task(step("a"))]

    shown = page(client, "/instances/a")

    assert "This deployment has no machine Gone" in shown.text
    assert [] == shown.all("svg", class_="fsm-diagram")
    assert 1 == len(shown.one("section", id="in_flight").rows())


def test_a_state_without_an_action_says_so() -> None:
    """Its cell is not left empty."""
    machine = Machine("Bare", (replace(MAILS.states[0], action=None),))
    client = application(Stage(definitions=definitions(machine))).test_client()

    assert ["Send initial final", "0", "0", "none", "none"] == page(client, "/machines/Bare").one(
        "tbody", id="states"
    ).rows()[0]


SCRUBBER = Machine(
    "FantasmScrubber",
    (State("init", "x.Scrub", initial=True, final=True),),
    context_types=(("age", "float"),),
)


def test_built_in_machines_come_last_and_say_so(stage: Stage, client: FlaskClient) -> None:
    """Whatever place they have among the definitions, an application's own machines are first."""
    stage.definitions = definitions(SCRUBBER, ORDERS, MAILS)

    rows = page(client, "/").one("section", id="machines").rows()
    shown = page(client, "/machines/FantasmScrubber")

    assert ["Orders", "Mails", "FantasmScrubber built in"] == [row[0] for row in rows]
    assert "/fantasm/machines/Orders" in links(page(client, "/").one("section", id="latest"))
    assert "Built in: it deletes what is kept of instances" in shown.text
    assert "Built in" not in page(client, "/machines/Orders").text
    options = page(client, "/instances").all("select", name="machine")[0].all("option")
    assert ["all", "Orders", "Mails", "FantasmScrubber"] == [each.text for each in options]


def test_an_application_with_built_in_machines_alone_has_none(stage: Stage, client: FlaskClient) -> None:
    """Who has not written a definition is shown how, and not invited to start the scrubber."""
    stage.definitions = definitions(SCRUBBER)

    assert "fsm.yaml defines no machine." in page(client, "/").text
    assert [] == page(client, "/instances").all("pre")


def test_a_machine_tells_all_that_its_definition_says(stage: Stage, client: FlaskClient) -> None:
    """Entry, exit and transition actions, targets, countdowns, groups and types."""
    states = (
        State(
            "Open",
            "shop.Work",
            entry="shop.Enter",
            exit="shop.Leave",
            initial=True,
            continuation=True,
            continuation_countdown=5,
            transitions=(
                Transition("ok", "Close", "shop.Pass", target="night.worker", countdown=Countdown(2, 9)),
                Transition("wait", "Open", target="worker", countdown=Countdown(30, 30)),
                Transition("now", "Open", countdown=Countdown(0, 0)),
            ),
        ),
        State("Close", exit="shop.Leave", fan_in=3, fan_in_group="customer", final=True),
    )
    stage.definitions = definitions(
        Machine(
            "Shop",
            states,
            target="worker",
            context_types=(("n", "int"), ("when", "shop.moment")),
            persistent_logging=True,
        )
    )

    shown = page(client, "/machines/Shop")

    rows = shown.one("tbody", id="states").rows()
    assert ["Open initial continuation after 5 s", "Close final fan-in 3 s by customer"] == [
        row[0] for row in rows
    ]
    assert ["entry shop.Enter action shop.Work exit shop.Leave", "exit shop.Leave"] == [
        row[3] for row in rows
    ]
    assert (
        "ok → to Close by shop.Pass after 2 s to 9 s target night.worker wait → to Open after 30 s "
        "now → to Open"
    ) == rows[0][4]
    assert "2 states · queue default · exactly once · target worker · persistent logging" in shown.text
    assert "Arguments have types: n int , when shop.moment ." in shown.text


def test_statuses_of_a_machine_are_tiles_that_lead_on(stage: Stage, client: FlaskClient) -> None:
    """What may need somebody comes first; cancelled ones are among them."""
    stage.history.instances_ = [instance("a", "cancelled"), instance("b", "failed")]

    tiles = page(client, "/machines/Orders").one("ul", id="statuses").all("a")

    assert ["0 running", "0 paused", "1 failed", "0 completed", "1 cancelled"] == [
        each.text for each in tiles
    ]
    assert [f"/fantasm/instances?machine=Orders&status={each.text.split()[1]}" for each in tiles] == [
        each.attributes["href"] for each in tiles
    ]


def test_an_instance_tells_its_parent_and_why_it_stopped(stage: Stage, client: FlaskClient) -> None:
    """The parent is a link; one without has no line for it."""
    child = replace(instance("a", "cancelled"), parent=InstanceId("Mails-1"), note="stopped by Ada")
    stage.history.instances_ = [child, instance("b")]

    facts = page(client, "/instances/a").one("dl", id="facts")

    assert ["cancelled", "Mails-1", "stopped by Ada"] == [facts.all("dd")[i].text for i in (0, 4, 5)]
    assert "/fantasm/instances/Mails-1" in links(facts)
    others = page(client, "/instances/b").one("dl", id="facts")
    assert ["Status", "Started", "Elapsed", "As data"] == [each.text for each in others.all("dt")]


def test_a_cancelled_instance_may_still_have_steps_in_flight(stage: Stage, client: FlaskClient) -> None:
    """Until they are discarded it has no end, and its page is refreshed as often as that of a running one."""
    ending = replace(instance("a"), status=InstanceStatus.CANCELLED)
    stage.history.instances_ = [ending, instance("b", "cancelled")]

    assert "None at this moment." in page(client, "/instances/a").one("section", id="in_flight").text
    assert "2000" == page(client, "/instances/a").one("body").attributes["data-refresh"]
    assert "has ended" in page(client, "/instances/b").one("section", id="in_flight").text
    assert "15000" == page(client, "/instances/b").one("body").attributes["data-refresh"]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_word(stage: Stage, client: FlaskClient, outcome: Outcome) -> None:
    """Nothing that the engine records is unknown here."""
    stage.history.instances_ = [instance("a")]
    stage.history.records_ = [record(step("a"), outcome=outcome, note="because")]

    rows = page(client, "/instances/a").one("section", id="over").rows()

    assert f"{outcome} because" == rows[0][2]


def test_the_step_that_leaves_a_final_state_says_so(stage: Stage, client: FlaskClient) -> None:
    """It fires no event of the definition."""
    stage.history.instances_ = [instance("a")]
    leaving = replace(step("a"), state="Ship", event=PSEUDO_FINAL, target=PSEUDO_FINAL)
    stage.history.records_ = [record(leaving)]

    assert "Ship exit" == page(client, "/instances/a").one("section", id="over").rows()[0][6]


def test_an_instance_without_lines_has_no_log(stage: Stage, client: FlaskClient) -> None:
    """Most machines keep none."""
    stage.history.instances_ = [instance("a"), instance("b")]
    stage.history.lines_ = [line(step("b"))]

    assert "Log" not in [each.text for each in page(client, "/instances/a").all("h2")]
    assert "Log" in [each.text for each in page(client, "/instances/b").all("h2")]


def test_the_log_is_in_order_of_time(stage: Stage, client: FlaskClient) -> None:
    """Lines of one moment stand as they were logged; each has level, state, message, tags, action, branch."""
    stage.history.instances_ = [instance("a")]
    at = step("a")
    stage.history.lines_ = [
        line(at, "late", time=NOW, level=25, action=""),
        *(line(at, f"line {index}", index=index) for index in (10, 2, 0, 7)),
        line(step("a", "Ship"), "early", time=NOW - 9, level=40, tags=("urgent", "EU"), stack="Traceback: E"),
    ]

    log = page(client, "/instances/a").one("div", id="log")

    rows = log.rows()
    assert ["early urgent EU stack Traceback: E", "line 0", "line 2", "line 7", "line 10", "late"] == [
        row[3] for row in rows
    ]
    assert ["03:51:14.000", "error", "Ship"] == rows[0][:3]
    assert ["shop.Pay", "main #1"] == rows[0][4:]
    assert ["level 25", "none"] == [rows[-1][1], rows[-1][4]]
    assert ["/fantasm/api/instances/a/logs"] == links(log)
    assert ["stack"] == [each.text for each in log.all("summary")]


@pytest.mark.parametrize(
    ("message", "folded"),
    [
        ("x" * 400, ""),
        ("x" * 401, "x" * 120 + "…"),
        ("first\n" + "x" * 400, "first"),
        ("a\nb" + "\n" * 6, ""),
        ("a\nb" + "\n" * 7, "a"),
    ],
)
def test_a_long_message_is_folded_and_never_cut(
    stage: Stage, client: FlaskClient, message: str, folded: str
) -> None:
    """Its beginning stands in the row, the whole of it below."""
    stage.history.instances_ = [instance("a")]
    stage.history.lines_ = [line(step("a"), message)]

    log = page(client, "/instances/a").one("div", id="log")

    assert ([folded] if folded else []) == [each.text for each in log.all("summary")]
    whole = log.one("pre") if folded else log.one("p", class_="message")
    assert [message] == whole.content


@pytest.mark.parametrize("count", [STEPS - 1, STEPS, STEPS + 1])
def test_pages_of_the_log_show_each_line_once(stage: Stage, client: FlaskClient, count: int) -> None:
    """Following the next page to the end meets every line once, whatever the other lists do."""
    stage.history.instances_ = [instance("a")]
    at = step("a")
    stage.history.lines_ = [
        replace(line(at, f"{n}"), name=f"{n:08x}-{at.name}--e0-a{n}-l000") for n in range(count)
    ]
    seen: list[str] = []
    path = "/instances/a"
    while path:
        log = page(client, path).one("div", id="log")
        seen += [row[3] for row in log.rows()]
        following = log.all("a", rel="next")
        path = following[0].attributes["href"].removeprefix("/fantasm").partition("#")[0] if following else ""

    assert [str(n) for n in sorted(range(count))] == sorted(seen, key=int)
