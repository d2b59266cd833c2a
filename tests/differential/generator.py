"""Sequences of operations, each from its seed alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

from differential import reads, writes
from differential.gql_texts import gql_query
from differential.operations import Earlier, Fields, Operation
from differential.situation import Situation

NON_TRANSACTIONAL = "NON_TRANSACTIONAL"
TRANSACTIONAL = "TRANSACTIONAL"


def sequence(seed: int, without: Collection[str] = ()) -> list[Operation]:
    """The sequence of a seed, which uses none of the features ``without``. The same each time."""
    return Generator(Situation(random.Random(seed), without)).sequence()


class Generator:
    """Makes one sequence."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._chance = situation.chance
        self._made: list[Operation] = []

    def sequence(self) -> list[Operation]:
        """Some entities, then operations of every sort."""
        self._commit(writes.first_entities(self._situation))
        wanted = self._chance.randint(8, 22)
        sorts: list[tuple[int, Callable[[], None]]] = [
            (22, self._write),
            (8, self._lookup),
            (36, self._query),
            (6, self._next_page),
            (9, self._aggregate),
            (9, self._transaction),
            (2, self._interleaved),
            (3, self._conflict),
            (3, self._ids),
            (5, self._refused),
        ]
        while len(self._made) < wanted:
            (step,) = self._chance.choices([step for _, step in sorts], [weight for weight, _ in sorts])
            step()
        return self._made

    def _add(self, method: str, fields: Fields) -> int:
        self._made.append(Operation(len(self._made), method, fields))
        return self._made[-1].number

    # -- writing

    def _commit(self, mutations: list[dict[str, Any]], **more: Any) -> int:
        mode = TRANSACTIONAL if more else NON_TRANSACTIONAL
        return self._add("Commit", {"mode": mode, "mutations": mutations, **more})

    def _write(self) -> None:
        mutations = writes.mutations(self._situation, self._made)
        together = len(mutations) < 2 or self._situation.may("several mutations outside of transactions")
        if not together or self._situation.may("single use", 0.2):
            self._commit(mutations, single_use_transaction={})
        else:
            self._commit(mutations)

    def _ids(self) -> None:
        situation = self._situation
        given = {"partition_id": situation.partition("given")}
        if situation.may("allocations", 0.6):
            keys = [given | {"path": [{"kind": "Given"}]} for _ in range(self._chance.randint(1, 3))]
            number = self._add("AllocateIds", {"keys": keys})
            path = [{"kind": "Given", "id": Earlier("key_id", number)}]
            if self._chance.random() < 0.5:
                self._commit([{"insert": {"key": given | {"path": path}, "properties": {}}}])
        elif situation.may("reservations"):
            self._add("ReserveIds", {"keys": [situation.key()]})

    # -- reading

    def _options(self, options: Any) -> Fields:
        return {"read_options": options} if options else {}

    def _lookup(self, options: Any = None) -> int:
        keys: list[Any] = []
        for _ in range(self._chance.choice((1, 1, 2, 3))):
            key = self._situation.key()
            if key not in keys or self._situation.may("repeated keys"):
                keys.append(key)
        fields: dict[str, Any] = {"keys": keys, **self._options(options)}
        if self._situation.may("masks of reads", 0.25):
            paths = self._chance.sample(("p", "q", "r", "n", "p.i", "__key__"), self._chance.randint(0, 3))
            fields["property_mask"] = {"paths": paths}
        return self._add("Lookup", fields)

    def _query(self, options: Any = None) -> int:
        situation = self._situation
        metadata = situation.may("metadata", 0.06)
        asked = reads.metadata_query(situation) if metadata else reads.query(situation)
        fields: dict[str, Any] = {"partition_id": situation.partition(), **self._options(options)}
        if situation.may("gql", 0.12):
            fields["gql_query"] = gql_query(asked, self._chance.random() < 0.9)
        else:
            fields["query"] = asked
        if "projection" not in asked and situation.may("masks of reads", 0.06):
            fields["property_mask"] = {"paths": ["p", "n"]}
        return self._add("RunQuery", fields)

    def _next_page(self) -> None:
        """An earlier query again, from or up to somewhere in its results, whatever was written since."""
        asked = [each for each in self._made if "query" in each.fields]
        if not asked or not self._situation.may("cursors"):
            return
        earlier = self._chance.choice(asked)
        what = "end_cursor" if self._situation.may("ends of batches", 0.4) else "cursor"
        cursor = Earlier(what, earlier.number, self._chance.randint(0, 2))
        side = "start_cursor" if self._chance.random() < 0.75 else "end_cursor"
        query = dict(earlier.fields["query"]) | {side: cursor}
        if self._chance.random() < 0.5:
            query.pop("offset", None)
        fields = {key: value for key, value in earlier.fields.items() if key != "read_options"}
        self._add("RunQuery", fields | {"query": query})

    def _aggregate(self, options: Any = None) -> None:
        if not self._situation.may("aggregations"):
            return
        nested = reads.query(self._situation)
        if nested.get("distinct_on"):
            nested = {"kind": [{"name": "K"}]}
        if not self._situation.may("orders of aggregations"):
            nested.pop("order", None)
        asked = reads.aggregations(self._situation)
        if any("count" not in each for each in asked) and not self._situation.may("bounded sums"):
            nested = {name: value for name, value in nested.items() if name not in ("limit", "offset")}
        fields = {
            "partition_id": self._situation.partition(),
            "aggregation_query": {"nested_query": nested, "aggregations": asked},
        }
        self._add("RunAggregationQuery", {**fields, **self._options(options)})

    # -- transactions

    def _begin(self) -> Earlier:
        options = {"read_only": {}} if self._situation.may("read-only", 0.2) else {}
        return Earlier("transaction", self._add("BeginTransaction", {"transaction_options": options}))

    def _read_in(self, options: Any) -> int:
        if self._situation.may("queries in transactions", 0.4):
            return self._query(options)
        return self._lookup(options)

    def _transaction(self) -> None:
        situation = self._situation
        if not situation.may("transactions"):
            return
        if situation.may("reads that begin", 0.3):
            transaction = Earlier("transaction", self._read_in({"new_transaction": {"read_write": {}}}))
        else:
            transaction = self._begin()
        for _ in range(self._chance.randint(0, 2)):
            self._read_in({"transaction": transaction})
        self._finish(transaction)
        if situation.may("transactions that end twice", 0.15):
            self._finish(transaction)

    def _finish(self, transaction: Earlier) -> None:
        if self._chance.random() < 0.2:
            self._add("Rollback", {"transaction": transaction})
        else:
            self._commit(writes.mutations(self._situation, self._made), transaction=transaction)

    def _interleaved(self) -> None:
        """Two transactions of the same entities, or one and a write between."""
        situation = self._situation
        if not situation.may("interleaved transactions"):
            return
        open_ones = [self._begin() for _ in range(self._chance.randint(1, 2))]
        for _ in range(self._chance.randint(1, 4)):
            self._read_in({"transaction": self._chance.choice(open_ones)})
            if self._chance.random() < 0.4:
                self._write()
        for transaction in open_ones:
            self._finish(transaction)

    def _conflict(self) -> None:
        """A transaction that has read, then a write by someone else, then the end of the transaction."""
        situation = self._situation
        if not situation.may("conflicts"):
            return
        transaction = self._begin()
        keys = [situation.root()]
        self._add("Lookup", {"keys": keys, "read_options": {"transaction": transaction}})
        entity = {"key": situation.root(), "properties": situation.properties()}
        self._commit([{"upsert": entity}])
        self._finish(transaction)

    # -- refusals

    def _refused(self) -> None:
        situation, roll = self._situation, self._chance.random()
        if roll < 0.35 and situation.may("malformed"):
            self._commit([*writes.mutations(situation, self._made), writes.malformed(situation)])
        elif roll < 0.7 and situation.may("malformed"):
            asked = reads.malformed_query(situation)
            self._add("RunQuery", {"partition_id": situation.partition(), "query": asked})
        elif roll < 0.85 and situation.may("too big"):
            self._commit([writes.too_big(situation)])
        elif situation.may("wrong transactions"):
            self._finish(Earlier("transaction", -1))
