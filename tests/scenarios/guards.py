"""The guards of the protocol, each with the change of the source that leaves it out.

Some guards of the protocol's first sketch are not here: docs/protocol.md says which and why.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """In a file of the package, ``old`` (which must be there once) becomes ``new``."""

    file: str
    old: str
    new: str


CHAIN_GUARDS: dict[str, tuple[Change, ...]] = {
    "step_version: a commit names the version of the step's row": (
        Change("core/commits.py", "[Delete(task.key, stored.version)]", "[Delete(task.key)]"),
        Change(
            "engine/runner.py",
            "            if task is None or task.version != self.stored.version:\n",
            "            if False:\n",
        ),
    ),
    "ahead_on_row: a follow-up is announced on the step's row": (
        Change(
            "core/commits.py",
            "return Commit((Update(mentioned(stored.row, following), stored.version), Insert(following)))",
            "return Commit((Insert(following), Delete(task_key(StepName('none')))))",
        ),
        Change("core/commits.py", "import entry_name", "import StepName, entry_name"),
        Change(
            "engine/acting.py",
            "    except (ConflictError, AlreadyExistsError, UnavailableError) as error:\n        raise Moved",
            "    except AlreadyExistsError:\n        return stored\n    except (ConflictError, UnavailableError) as error:\n        raise Moved",
        ),
        Change("engine/acting.py", "return Stored(mentioned(task, ahead), version)", "return stored"),
    ),
    "ahead_at_load: what an earlier attempt announced is enqueued": (
        Change("engine/runner.py", "    enqueue_in_flight(services, stored.row.ahead)\n", ""),
    ),
    "announced_token: a page ends where its follow-up was announced to begin": (
        Change("engine/acting.py", 'acting.obj["until"] = task.announced', "pass"),
    ),
    "announced_meanwhile: an outcome of another page is dropped": (
        Change("engine/runner.py", "if again.task.row.announced != self.stored.row.announced:", "if False:"),
    ),
    "loser_replays: who lost sees the next tasks enqueued before it acks": (
        Change(
            "engine/runner.py",
            'raise Moved(f"another delivery of {self.delivery.step} decided")',
            'return Answer("replayed")',
        ),
    ),
    "replay_enqueues: a duplicate enqueues what follows": (
        Change("engine/replaying.py", "enqueue_in_flight(services, record.next)", "pass"),
    ),
    "replay_ends_branch: a duplicate looks for the end of the instance": (
        Change("engine/replaying.py", "if record is None or record.ends_branch:", "if False:"),
    ),
    "window_transaction: an arrival reads the window it goes into": (
        Change(
            "engine/runner.py",
            "                transaction.commit(commit)\n",
            "                transaction.rollback(); self.services.store.commit(commit)\n",
        ),
    ),
    "unique_window: no two windows of a group have one name": (
        Change(
            "core/step.py",
            "window = replace(step, branch=nest(task.step.branch, label))",
            'window = replace(step, branch="w")',
        ),
    ),
    "close_window: a window is closed before it is read": (
        Change(
            "engine/runner.py",
            "            close_window(self.services, task.step.name, task.collection)\n        batch",
            "            pass\n        batch",
        ),
    ),
    "instance_version: the end of an instance names the version read before the query": (
        Change(
            "core/commits.py",
            "    mutations: list[Mutation] = [Update(ended, stored.version)]\n",
            "    mutations: list[Mutation] = [Upsert(ended)]\n",
        ),
    ),
    "redrive_counts: a redrive is seen by who compares the instance's version": (
        Change("engine/redriving.py", "commands=instance.row.commands + 1", "commands=instance.row.commands"),
    ),
    "failing_ends_branch: a step that is given up ends its branch": (
        Change("engine/failing.py", "    end_branch(services, after.step.instance, instance)\n", ""),
    ),
    "failed_ends_branch: a duplicate of a failed step looks for the end of the instance": (
        Change("engine/runner.py", "        end_branch(services, delivery.instance, loaded.instance)\n", ""),
    ),
    "transaction_reads_row: a transactional state's transaction reads the step's row": (
        Change(
            "engine/runner.py",
            "if current is None or current.version != self.stored.version:\n",
            "if False:\n",
        ),
        Change("core/commits.py", "[Delete(task.key, stored.version)]", "[Delete(task.key)]"),
        Change(
            "core/commits.py",
            "    mutations.append(Insert(_record(stored.row, following, attempt, tasks)))\n",
            "",
        ),
    ),
}

STORM_GUARDS: dict[str, tuple[Change, ...]] = {
    "mixed_windows: who arrives at several windows commits in the transaction that read the open ones": (
        Change(
            "engine/runner.py", "            if windows:\n", "            if len(windows) == len(keys):\n"
        ),
    ),
    "named_start: a start whose name is taken is left out": (
        Change(
            "engine/runner.py",
            "                following = without_started(self.services.store, following)\n",
            "",
        ),
    ),
    "put_off_enqueues: a step that is put off gets its next task before the answer": (
        Change("engine/failing.py", "    enqueue(services, [task])\n", ""),
    ),
    "older_epoch: a delivery of an earlier epoch sees the row's own task enqueued": (
        Change("engine/runner.py", "        enqueue(services, [stored.row])\n", ""),
    ),
    "forks_have_branches: a fork's steps have names of their own": (
        Change("core/step.py", 'nest(here.branch, f"f{here.n}-{leaving.index}")', "here.branch"),
    ),
    "groups_have_windows: windows of several groups that one step opens have names of their own": (
        Change("core/step.py", 'f"w{task.step.n}-{index}"', 'f"w{task.step.n}"'),
    ),
}
"""Those that need forks, groups, spawned machines and delays to be missed."""

TANGLE_GUARDS: dict[str, tuple[Change, ...]] = {
    "join_rounds: a context waits at a join in the round that it saw": (
        Change("core/commits.py", "round_ = instance.row.closings if instance else 0", "round_ = 0"),
    ),
    "closing_rows: a released join that nobody enqueued is enqueued by who comes later": (
        Change(
            "engine/ending.py",
            "    elif all(is_release(name, row.id) for name in in_flight):\n",
            "    elif False:\n",
        ),
    ),
    "round_filter: a join's step takes what came before it, and nothing that came after": (
        Change(
            "engine/collecting.py",
            "        if collection.round is not None and round_ > collection.round:\n",
            "        if False:\n",
        ),
        Change("engine/collecting.py", " and all(of <= round_ for _, of in found)", ""),
    ),
    "told_again: whoever comes to an end sees those who are told of it enqueued": (
        Change(
            "engine/ending.py",
            "            enqueue_in_flight(services, stored.row.told)\n",
            "            pass\n",
        ),
        Change(
            "engine/ending.py",
            "        enqueue_in_flight(services, row.told)\n        return None\n",
            "        return None\n",
        ),
    ),
    "park_in_transaction: what a step is parked for is still so when that is written": (
        Change(
            "engine/parking.py",
            "                transaction.commit(Commit((Update(parked, stored.version),)))\n",
            "                transaction.rollback(); services.store.commit(Commit((Update(parked, stored.version),)))\n",
        ),
    ),
    "unpark_enqueues_again: a step that an earlier delivery made ready is enqueued": (
        Change(
            "engine/operations.py",
            "            return task if task.status is TaskStatus.QUEUED else None\n",
            "            return None\n",
        ),
    ),
    "cancel_windows: a cancellation empties windows": (
        Change("engine/cancelling.py", "        _discard_entries(services, each.row)\n", "        pass\n"),
    ),
    "cancel_joins: a cancellation deletes what waits at joins": (
        Change(
            "engine/cancelling.py",
            "            discard_joining(services, task.step.instance)\n",
            "            pass\n",
        ),
    ),
    "cancel_tasks: a cancellation deletes tasks that are far away": (
        Change("engine/cancelling.py", "            _delete_tasks(services, found)\n", "            pass\n"),
    ),
    "cancel_keeps_itself: a late delivery of a cancellation does not delete the step by which it goes on": (
        Change("engine/cancelling.py", "KEPT = (Role.SPREAD, Role.CANCEL)", "KEPT = (Role.SPREAD,)"),
    ),
    "part_ranges: no two parts of a batch overlap": (
        Change(
            "engine/collecting.py",
            "            begun, of, count = before, group, 1\n",
            "            begun, of, count = collection.after, group, 1\n",
        ),
    ),
    "sweeper_epoch: what is lost is enqueued under another name": (
        Change(
            "engine/overdue.py",
            "    return replace(task, epoch=task.epoch + 1, unanswered=0,",
            "    return replace(task, unanswered=0,",
        ),
    ),
}
"""Those that need joins, ends that are told, operators' commands, or lost tasks."""

SEEN_AT = {
    **{"told_again": 87, "part_ranges": 114, "cancel_windows": 44, "unpark_enqueues_again": 22},
    **{"redrive_counts": 178, "announced_meanwhile": 36, "closing_rows": 30},
    **{"failed_ends_branch": 24, "step_version": 19, "loser_replays": 18},
    **{"older_epoch": 6, "mixed_windows": 3, "window_transaction": 9},
    **{"replay_ends_branch": 9, "replay_enqueues": 6},
}
"""Of those that take long to be missed, a seed that was seen to. Where it does so no more, all are tried."""

SIMULATED_GUARDS: dict[str, tuple[int, tuple[Change, ...]]] = {
    "failures_hold_joins: an instance with failed steps releases no join and is not completed": (
        1,
        (
            Change(
                "engine/ending.py",
                "    waiting = [] if stopped or failed else services",
                "    failed = False\n    waiting = [] if stopped else services",
            ),
        ),
    ),
    "who_waits: the end of a child is looked at by its parent": (
        5,
        (Change("engine/ending.py", "    return _who_waits(ended)\n", "    return None\n"),),
    ),
    "who_waits_again: also where who ended the child died": (
        5,
        (
            Change(
                "engine/ending.py", "            return _who_waits(stored.row)\n", "            return None\n"
            ),
        ),
    ),
    "waiting_row: who waits for a child has a row for that": (
        18,
        (
            Change(
                "core/commits.py",
                "            mutations.append(Insert(start.waiting))\n",
                "            pass\n",
            ),
        ),
    ),
    "waiting_deleted: the end of the child deletes it": (
        5,
        (
            Change(
                "core/commits.py",
                "        mutations.append(Delete(task_key(row.joined)))\n",
                "        pass\n",
            ),
        ),
    ),
    "parked_for_a_reason: nothing is parked for what was over before": (
        158,
        (
            Change(
                "engine/parking.py",
                "            if not _is_paused(instance) and not any(holds):\n",
                "            if False:\n",
            ),
        ),
    ),
    "ready_epoch: a parked step gets a task of another name": (
        0,
        (
            Change(
                "core/records.py",
                "        epoch=task.epoch + 1,\n",
                "        epoch=task.epoch + (task.status is TaskStatus.FAILED),\n",
            ),
        ),
    ),
    "parked_in_flight: what is parked, or waits, is in flight": (
        18,
        (
            Change(
                "gateways/rows.py",
                "row.status is not TaskStatus.FAILED, indexed=True",
                "row.status is TaskStatus.QUEUED, indexed=True",
            ),
        ),
    ),
    "part_names: the parts of a batch have names of their own": (
        4,
        (
            Change(
                "core/step.py",
                '            share_of(task, f"p{i}", now),\n',
                '            share_of(task, "p", now),\n',
            ),
        ),
    ),
    "share_names: the shares of a large outcome have names of their own": (
        110,
        (
            Change(
                "core/spreading.py",
                '            share_of(task, f"{label}{i}", moment.now),\n',
                "            share_of(task, label, moment.now),\n",
            ),
        ),
    ),
}
"""Those that the simulation misses, each with a seed that was seen to."""

DIRECTED_GUARDS: dict[str, tuple[str, tuple[Change, ...]]] = {
    "late_far_tasks: a task that is created after its step was cancelled is taken back": (
        "test_holding.py::test_a_task_scheduled_far_ahead_that_comes_after_the_cancellation_is_deleted",
        (Change("engine/enqueue.py", "        _delete_cancelled(services, far)\n", "        pass\n"),),
    ),
    "far_record: also where who created it died": (
        "test_holding.py::test_a_worker_that_dies_with_such_a_task_has_it_deleted_by_the_next_delivery",
        (Change("engine/replaying.py", "            _delete_far(services, record)\n", "            pass\n"),),
    ),
    "late_task_of_a_parked_step: it runs nothing": (
        "test_holding.py::test_a_late_task_of_a_parked_step_does_not_run_it",
        (
            Change(
                "engine/runner.py",
                "    if not stopped and stored.row.status is TaskStatus.PARKED:\n",
                "    if False:\n",
            ),
        ),
    ),
    "released_together: of several released joins each is enqueued again": (
        "test_joining.py::test_joins_that_are_released_together_all_get_their_tasks",
        (Change("engine/ending.py", "    if row.released:\n", "    if False:\n"),),
    ),
    "join_branches: joins of one round begin branches of their own": (
        "test_engine_edges.py::test_joins_released_together_go_on_to_the_same_states_as_branches_of_their_own",
        (
            Change(
                "core/names.py",
                'return f"join{round_}-{digest(state, length=8)}"',
                'return f"join{round_}-00000000"',
            ),
        ),
    ),
    "once_is_recorded: what a call answered is remembered": (
        "test_repairing.py::test_what_was_called_once_is_not_called_by_a_retry",
        (
            Change(
                "engine/acting.py",
                "            return Stored(memo, services.store.commit(Commit((Insert(memo),)))[0])\n",
                "            return Stored(memo, 0)\n",
            ),
        ),
    ),
    "recovered_batches_end: what a failed batch was given ends with it": (
        "test_repairing.py::test_a_batch_out_of_attempts_goes_on_as_one_context",
        (
            Change(
                "engine/acting.py",
                "        collected=tuple(each.key for each in entries or ()),\n        headers=task.headers,\n",
                "        headers=task.headers,\n",
            ),
        ),
    ),
    "halt_deletes: a halted instance is emptied at once": (
        "test_holding.py::test_a_halt_of_the_instance_takes_back_what_is_scheduled_far_ahead",
        (Change("core/commits.py", "        tasks.append(deletion)\n", "        pass\n"),),
    ),
    "sweeper_version: a row that moved on while its task was looked for is left alone": (
        "test_sweeper.py::test_a_row_that_goes_while_it_is_looked_at_is_left_alone",
        (
            Change(
                "engine/sweeping.py",
                "updates = tuple(Update(row, stored.version) for",
                "updates = tuple(Upsert(row) for",
            ),
            Change("engine/sweeping.py", "    Update,\n", "    Update,\n    Upsert,\n"),
        ),
    ),
    "loser_looks_again: who was overtaken by a later epoch sees that epoch's task enqueued": (
        "test_holding.py::test_who_was_overtaken_by_a_later_epoch_sees_its_task_created",
        (
            Change(
                "engine/runner.py",
                'raise Moved(f"another delivery of {self.delivery.step} decided")',
                "return replay(self.services, self.delivery, Loaded(None, None))",
            ),
        ),
    ),
    "looked_at: that the sweeper looked at a step is no change of it": (
        "test_sweeper.py::test_a_restamp_while_an_attempt_fails_does_not_hide_the_failure",
        (
            Change(
                "engine/failing.py",
                "            if current is None or _looked_at(stored.row, current.row) != current.row:\n",
                "            if True:\n",
            ),
        ),
    ),
}
"""Those that take one moment in a thousand, each with the test that makes it."""
