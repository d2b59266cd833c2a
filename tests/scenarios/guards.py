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
        Change("core/commits.py", "    Window,\n)", "    Window,\n    task_key,\n)"),
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
        Change("engine/enqueue.py", "enqueue_in_flight(services, record.next)", "pass"),
    ),
    "replay_ends_branch: a duplicate looks for the end of the instance": (
        Change("engine/enqueue.py", "if record is None or record.ends_branch:", "if False:"),
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
            "            close_window(self.services, task.step.name, task.collection)\n            batch",
            "            batch",
        ),
    ),
    "instance_version: the end of an instance names the version read before the query": (
        Change(
            "core/commits.py",
            "return Commit((Update(ended, stored.version),))",
            "return Commit((Delete(stored.row.key),)), Commit((Insert(ended),))",
        ),
        Change(
            "engine/ending.py",
            "services.store.commit(closing(stored, failed, services.clock()))",
            "[services.store.commit(each) for each in closing(stored, failed, services.clock())]",
        ),
    ),
    "redrive_counts: a redrive is seen by who compares the instance's version": (
        Change("engine/start.py", "instance.row.redrives + 1", "instance.row.redrives"),
    ),
    "failing_ends_branch: a step that is given up ends its branch": (
        Change("engine/failing.py", "    end_branch(services, task.step.instance, loaded.instance)\n", ""),
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
    "loser_looks_again: who was overtaken by a later epoch sees that epoch's task enqueued": (
        Change(
            "engine/runner.py",
            'raise Moved(f"another delivery of {self.delivery.step} decided")',
            "return replay(self.services, self.delivery, Loaded(None, None))",
        ),
    ),
    "forks_have_branches: a fork's steps have names of their own": (
        Change("core/step.py", 'nest(here.branch, f"f{here.n}-{leaving.index}")', "here.branch"),
    ),
    "groups_have_windows: windows of several groups that one step opens have names of their own": (
        Change("core/step.py", 'f"w{task.step.n}-{index}"', 'f"w{task.step.n}"'),
    ),
}
"""Those that need forks, groups, spawned machines and delays to be missed."""
