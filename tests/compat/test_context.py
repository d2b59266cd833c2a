"""The context as a dict, and what it tells and does beside that."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from runs import finish
from scripted import Script

MACHINES = "scripted.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


def run(harness, first, second=lambda context: None, url="Scripted/?a=1", **options):
    """Runs two steps, with these as their actions; each has to be called."""
    called = []

    def note(action):
        return lambda context, obj: (called.append(action), action(context))[0]

    Script.act, Script.after = note(first), note(second)
    instance = finish(harness, url, **options)
    assert [first, second] == called
    return instance


@pytest.mark.fantasm(91, 92)
@METHODS
def test_a_context_is_a_dict(harness, method):
    """Get, set, pop, override; what one step leaves is what the next one finds."""

    def first(context):
        assert isinstance(context, dict)
        assert ({"a": "1"}, None, 7) == (context, context.get("b"), context.get("b", 7))
        assert ("1", 8) == (context.pop("a"), context.pop("a", 8))
        context["c"] = 1
        context.update(c=2, d=[3])
        context.setdefault("d", []).append(4)
        del context["c"]
        with pytest.raises(KeyError):
            context["c"]

    def second(context):
        assert {"d": [3, 4]} == context

    run(harness, first, second, method=method)


@pytest.mark.fantasm(94)
def test_an_instance_tells_when_it_was_started(harness):
    """In every step, in UTC: without a time zone under Fantasm's name. Its id tells it too, and is unique."""
    at = datetime.fromtimestamp(harness.clock.now, UTC)

    def action(context):
        assert at == context.instance_start_time
        assert at.replace(tzinfo=None) == context.getInstanceStartTime()
        assert context.instanceName == context.instance_name
        machine, moment, _ = context.instanceName.rsplit("-", 2)
        assert ("Scripted", at.strftime("%Y%m%d%H%M%S")) == (machine, moment)
        harness.clock.sleep(100)

    first = run(harness, action, action)
    at = datetime.fromtimestamp(harness.clock.now, UTC)
    second = run(harness, action, action)
    assert first != second


@pytest.mark.fantasm(93)
@METHODS
def test_the_queue_that_was_set_is_a_header(harness, method):
    """Also in the next step; the later one wins."""

    def first(context):
        context.setQueue("one")
        assert "one" == context.headers["X-Fantasm-Queuename"]
        context.set_queue("two")

    def second(context):
        assert "two" == context.headers["X-Fantasm-Queuename"]

    run(harness, first, second, method=method)


@pytest.mark.parametrize("name", ["", "a b", "a_b", "a" * 101, "projects/p"])
def test_what_is_no_name_of_a_queue_is_refused(harness, name):
    """At once, where it is set; the queue stays what it was."""

    def first(context):
        with pytest.raises(ValueError, match="queue"):
            context.setQueue(name)
        assert {} == context.headers

    run(harness, first)


@pytest.mark.fantasm(95)
def test_a_clone_is_a_deep_copy_of_the_same_instance(harness):
    """What is changed afterwards, in one of them, is not changed in the other; the clone goes nowhere."""

    def first(context):
        context["list"] = [1, [2]]
        clone = context.clone()
        assert (context, context.instanceName) == (clone, clone.instanceName)
        clone["list"][1].append(3)
        clone["more"] = True
        context["list"].append(4)
        assert ([1, [2, 3]], [1, [2], 4]) == (clone["list"], context["list"])

    def second(context):
        assert {"a": "1", "list": [1, [2], 4]} == context

    run(harness, first, second)


@pytest.mark.fantasm(96)
def test_a_clone_takes_other_data_and_another_name(harness):
    """``updateData`` is added, ``replaceData`` takes the place of all; what was given is copied."""

    def first(context):
        given = {"b": [2]}
        added, replaced = context.clone(updateData=given), context.clone(replaceData=given)
        both = context.clone(replaceData=given, updateData={"c": 3})
        given["b"].append(0)
        assert ({"a": "1", "b": [2]}, {"b": [2]}) == (added, replaced)
        assert {"b": [2], "c": 3} == both
        named = context.clone(instanceName="other")
        assert ("other", context) == (named.instanceName, named)
        assert "other" != context.instanceName
        assert {} == context.clone(replaceData={})

    run(harness, first)
