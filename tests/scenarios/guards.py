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


GUARDS: dict[str, tuple[Change, ...]] = {
    "step_version: a commit names the version of the step's row": (
        Change("core/step.py", "[Delete(task.key, stored.version)]", "[Delete(task.key)]"),
    ),
    "ahead_on_row: a follow-up is announced on the step's row": (
        Change(
            "core/step.py",
            "return Commit((Update(mentioned, stored.version), Insert(following)))",
            "return Commit((Insert(following), Delete(task_key(StepName('none')))))",
        ),
        Change("core/step.py", "    RowKey,\n", "    RowKey,\n    task_key,\n"),
        Change(
            "core/step.py",
            "from fantasm_gcp.core.names import MAIN, InstanceId,",
            "from fantasm_gcp.core.names import StepName, MAIN, InstanceId,",
        ),
        Change(
            "engine/acting.py",
            "    except (ConflictError, AlreadyExistsError, UnavailableError) as error:\n        raise Moved",
            "    except AlreadyExistsError:\n        return stored\n    except (ConflictError, UnavailableError) as error:\n        raise Moved",
        ),
        Change("engine/acting.py", "return Stored(mentioned, version)", "return stored"),
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
            "return replay(self.services, self.delivery, Loaded(None, None))",
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
        Change("core/step.py", 'branch=nest(step.branch, f"w{here.n}")', 'branch="w"'),
    ),
    "close_window: a window is closed before it is read": (
        Change(
            "engine/runner.py",
            "close_window(self.services, self.stored.row.step.name, self.stored.row.collection)",
            "pass",
        ),
    ),
    "instance_version: the end of an instance names the version read before the query": (
        Change(
            "core/step.py",
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
        Change("core/step.py", "[Delete(task.key, stored.version)]", "[Delete(task.key)]"),
        Change("core/step.py", "    mutations.append(Insert(record))\n", ""),
    ),
}
