"""Every known fault and gap of the emulators, with its reason: the only place that excuses a difference."""

from __future__ import annotations

from dataclasses import dataclass

from differential import allowances as allow
from differential.allowances import Blur, Excuse

DATASTORE, FIRESTORE = "datastore", "firestore"
"""gcloud's Datastore emulator, and its Firestore emulator in Datastore mode."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that an emulator does otherwise than production.

    ``avoids`` are the features the generator leaves out for it, ``blurs`` makes an answer say less before it
    is compared, ``excuses`` takes a difference for granted, by both replies.
    """

    name: str
    emulators: frozenset[str]
    reason: str
    avoids: frozenset[str] = frozenset()
    blurs: Blur | None = None
    excuses: Excuse | None = None


GAPS: tuple[Gap, ...] = (
    Gap(
        "times",
        frozenset({DATASTORE}),
        "The emulator gives no times of entities, commits and readings.",
        blurs=allow.without("created", "updated", "commit time", "read time"),
        avoids=frozenset({"update times"}),
    ),
    Gap(
        "more results",
        frozenset({DATASTORE}),
        "The emulator says MORE_RESULTS_AFTER_LIMIT whether or not there is a limit.",
        blurs=allow.without("more"),
    ),
    Gap(
        "transforms",
        frozenset({DATASTORE}),
        "The emulator silently ignores property transforms.",
        avoids=frozenset({"transforms"}),
    ),
    Gap(
        "masks",
        frozenset({DATASTORE}),
        "The emulator silently ignores property masks.",
        avoids=frozenset({"masks of reads", "masks of writes"}),
    ),
    Gap(
        "operators",
        frozenset({DATASTORE}),
        "The emulator refuses IN, NOT_IN, != and OR, or takes them in some queries only.",
        avoids=frozenset({"in", "not in", "not equal", "or"}),
    ),
    Gap(
        "inequalities",
        frozenset({DATASTORE}),
        "The emulator allows one inequality property, and wants it sorted first.",
        avoids=frozenset({"several inequalities"}),
    ),
    Gap(
        "aggregations",
        frozenset({DATASTORE}),
        "The emulator answers RunAggregationQuery with UNIMPLEMENTED.",
        avoids=frozenset({"aggregations"}),
    ),
    Gap(
        "versions of conflicts",
        frozenset({DATASTORE}),
        "A conflict with an entity that is not there is answered without a version. The API's reference of"
        " MutationResult.version has it strictly greater than that of any previous entity.",
        blurs=allow.without_versions_of_conflicts,
    ),
    Gap(
        "commit times",
        frozenset({FIRESTORE}),
        "The emulator gives commits that are not transactional a commit_time. The API's reference:"
        " not set for non-transactional commits.",
        blurs=allow.without_commit_time,
    ),
    Gap(
        "waiting",
        frozenset({FIRESTORE}),
        "A reading in a transaction takes a lock for which writers wait some seconds; which of two"
        " transactions then fails depends on time. The local Datastore is optimistic here.",
        avoids=frozenset({"interleaved transactions", "conflicts"}),
    ),
    Gap(
        "entity groups",
        frozenset({DATASTORE}),
        "Conflicts are of entity groups, as in the mode OPTIMISTIC_WITH_ENTITY_GROUPS that new databases do"
        " not have, and a reading in a transaction shows what was written after it began. Documented:"
        " all reads of a transaction see the state at its beginning. So only single conflicts are compared.",
        avoids=frozenset({"interleaved transactions"}),
    ),
    Gap(
        "finished transactions",
        frozenset({DATASTORE, FIRESTORE}),
        "A transaction of which the commit failed can be committed again or rolled back, on the Firestore"
        " emulator also rolled back after it was committed. Documented: a failed commit ends it.",
        excuses=lambda operation, ours, theirs: "no longer valid" in ours.details and theirs.status == "OK",
    ),
    Gap(
        "read-only commits",
        frozenset({DATASTORE}),
        "A read-only transaction may commit mutations as long as they change nothing.",
        excuses=lambda operation, ours, theirs: "read-only" in ours.details and theirs.status == "OK",
    ),
    Gap(
        "bases",
        frozenset({FIRESTORE}),
        "A base_version or update_time that is not met is ignored unless the strategy is FAIL. The API's"
        " reference: the conflict is detected, and nothing is written.",
        avoids=frozenset({"bases that only report"}),
    ),
    Gap(
        "halves of commits",
        frozenset({DATASTORE, FIRESTORE}),
        "Of a commit that is not transactional and is refused, mutations before the faulty one are applied."
        " The API allows it; the local Datastore applies all or none.",
        avoids=frozenset({"several mutations outside of transactions"}),
    ),
    Gap(
        "sums of dates",
        frozenset({FIRESTORE}),
        "An average takes dates for numbers, as 0. Documented: non-numeric values are ignored.",
        avoids=frozenset({"sums of everything"}),
    ),
    Gap(
        "reads that begin",
        frozenset({FIRESTORE}),
        "The lock of a reading with new_transaction is not released by its own commit, which then times out"
        " (firebase-tools issue 8105).",
        avoids=frozenset({"reads that begin"}),
    ),
    Gap(
        "skipped cursors",
        frozenset({DATASTORE, FIRESTORE}),
        "One gives a skipped_cursor when nothing was skipped, the other gives none when something was. The"
        " API's reference: will be set when skipped_results != 0.",
        blurs=allow.without("skipped cursor"),
    ),
    Gap(
        "cursors of nothing",
        frozenset({FIRESTORE}),
        "A batch without results has no end_cursor, nor has one of which all results were skipped: a client"
        " could not go on from there. The Datastore emulator gives one always.",
        blurs=allow.without("end cursor"),
        avoids=frozenset({"ends of batches"}),
    ),
    Gap(
        "stamps of keys",
        frozenset({FIRESTORE}),
        "Results of keys-only and projection queries have versions and times. The API's reference of"
        " EntityResult: set for FULL entity results.",
        blurs=allow.without_stamps_of_keys,
    ),
    Gap(
        "end of aggregations",
        frozenset({FIRESTORE}),
        "The batch of an aggregation does not say NO_MORE_RESULTS, which the API's reference expects of it.",
        blurs=allow.without_end_of_aggregation,
    ),
    Gap(
        "embedded entities",
        frozenset({FIRESTORE}),
        "An embedded entity is itself a value in the index, as a map of native Firestore is. Datastore indexes"
        " its properties only, as the Datastore emulator does.",
        avoids=frozenset({"nested", "embedded filters"}),
    ),
    Gap(
        "empty arrays",
        frozenset({FIRESTORE}),
        "An empty array is not in the index. Datastore indexes it as null, as the Datastore emulator does.",
        avoids=frozenset({"empty arrays"}),
    ),
    Gap(
        "old limits of queries",
        frozenset({DATASTORE}),
        "The emulator wants the inequality property sorted first, and grouped by when others are: limits that"
        " Firestore in Datastore mode has lifted with several inequalities.",
        excuses=allow.refused(
            "first sort property must be the same",
            "must also be a group by property",
        ),
    ),
    Gap(
        "orders under a key",
        frozenset({DATASTORE}),
        "With an equality filter on the key, orders are neither checked nor do they leave out an entity that"
        " has not the sorted property.",
        avoids=frozenset({"orders under a key"}),
    ),
    Gap(
        "which fault is named",
        frozenset({DATASTORE, FIRESTORE}),
        "A commit may be at fault in several ways. Which one is found first no reference says.",
        excuses=allow.both_refused_with_a_choice,
    ),
    Gap(
        "repeated keys",
        frozenset({FIRESTORE}),
        "A key that a lookup names twice is answered once. The Datastore emulator answers it twice.",
        avoids=frozenset({"repeated keys"}),
    ),
    Gap(
        "end cursors",
        frozenset({FIRESTORE}),
        "A batch that ends at the query's end_cursor says NO_MORE_RESULTS. The API's reference has"
        " MORE_RESULTS_AFTER_CURSOR for it.",
        blurs=allow.without_more_after_cursor,
    ),
    Gap(
        "bases of deletions",
        frozenset({FIRESTORE}),
        "A deleted entity still has a version, which base_version 0 does not meet. The Datastore emulator has"
        " it as one that never was.",
        avoids=frozenset({"bases of deleted entities"}),
    ),
    Gap(
        "counts of arrays",
        frozenset({FIRESTORE}),
        "An aggregation over a query that sorts by an array counts the entity for each element. The query"
        " itself has it once.",
        avoids=frozenset({"orders of aggregations"}),
    ),
    Gap(
        "crashes",
        frozenset({DATASTORE, FIRESTORE}),
        "A request that the emulator did not expect is answered UNKNOWN without words: an exception there.",
        excuses=lambda operation, ours, theirs: theirs.status == "UNKNOWN",
    ),
    Gap(
        "sorted arrays",
        frozenset({FIRESTORE}),
        "A query that sorts by an array, or compares one, answers the entity once for each element. The"
        " Datastore emulator answers it once, as documented.",
        avoids=frozenset({"sorted arrays"}),
    ),
    Gap(
        "ties",
        frozenset({FIRESTORE}),
        "Results that are equal in a descending order come by descending key, as in native Firestore. The"
        " Datastore emulator has them by ascending key, as the indexes of Datastore are.",
        avoids=frozenset({"ties of descending orders"}),
    ),
    Gap(
        "reached limits",
        frozenset({FIRESTORE}),
        "A query that reached its limit with its last result says NO_MORE_RESULTS. The API's reference has"
        " MORE_RESULTS_AFTER_LIMIT for whatever ends at a limit.",
        blurs=allow.as_if_finished,
    ),
    Gap(
        "arrays beside projections",
        frozenset({DATASTORE}),
        "A projection query that sorts by another property, an array, answers a row for each of its elements,"
        " all alike. Documented: one for each combination of projected values.",
        avoids=frozenset({"orders beside projections"}),
    ),
    Gap(
        "transactions of nothing",
        frozenset({DATASTORE}),
        "A query that begins a transaction and finds nothing answers a transaction that cannot be committed.",
        excuses=allow.refused("Invalid transaction."),
    ),
    Gap(
        "order of sums",
        frozenset({FIRESTORE}),
        "A sum or average sorts its query by the property, so that an offset or a limit takes other entities."
        " No reference says so.",
        avoids=frozenset({"bounded sums"}),
    ),
    Gap(
        "metadata",
        frozenset({FIRESTORE}),
        "Queries for kinds and namespaces are refused as not supported by the emulator, one for properties"
        " finds nothing.",
        avoids=frozenset({"metadata"}),
    ),
    Gap(
        "metadata of properties",
        frozenset({DATASTORE}),
        "A query for properties is refused in transactions and when it projects their representation.",
        excuses=allow.refused("Only comparison filters on __key__", "transactional queries on __property__"),
    ),
    Gap(
        "orders that equalities fix",
        frozenset({DATASTORE}),
        "An order by a property that an equality fixes is dropped before distinct properties are looked for"
        " among the first orders.",
        excuses=lambda operation, ours, theirs: "distinct on properties" in ours.details,
    ),
    Gap(
        "unsorted projections",
        frozenset({DATASTORE}),
        "A projection of several properties without an order comes sorted by the first in the alphabet. What"
        " order it has no reference says; the local Datastore takes the first that is asked for.",
        avoids=frozenset({"unsorted projections"}),
    ),
    Gap(
        "orders after the key",
        frozenset({FIRESTORE}),
        "An entity without a property that is sorted by after the key is left out, as an order does in native"
        " Firestore. The Datastore emulator passes over orders after the key.",
        avoids=frozenset({"orders after the key"}),
    ),
    Gap(
        "rules of aggregated queries",
        frozenset({FIRESTORE}),
        "What may not stand together in a query may do so in one that is aggregated over.",
        excuses=allow.refused_only_by_us_in_aggregations,
    ),
    Gap(
        "ends of malformed commits",
        frozenset({FIRESTORE}),
        "A commit that no state of the entities could let through ends its transaction; the local Datastore"
        " and the Datastore emulator leave it open.",
        excuses=allow.refused("Transaction is invalid or closed"),
    ),
    Gap(
        "transforms of unindexed values",
        frozenset({FIRESTORE}),
        "A transform makes a property indexed that was excluded. The local Datastore keeps it excluded, as a"
        " property over the limits of indexed values could not be transformed otherwise.",
        avoids=frozenset({"transforms of unindexed values"}),
    ),
    Gap(
        "distinct entities",
        frozenset({DATASTORE}),
        "A query for distinct values of an array that projects nothing answers the entity once. The API's"
        " reference: the first result for each distinct combination of values.",
        avoids=frozenset({"distinct entities"}),
    ),
    Gap(
        "keys beside ancestors",
        frozenset({FIRESTORE}),
        "Alternatives that compare the key are refused beside an ancestor that is common to them all.",
        excuses=allow.refused("unique ancestor"),
    ),
    Gap(
        "ancestors named twice",
        frozenset({DATASTORE}),
        "A filter that names the same ancestor twice is refused. The Firestore emulator answers it.",
        excuses=allow.refused("duplicate ancestor"),
    ),
    Gap(
        "projections after the key",
        frozenset({DATASTORE}),
        "A projected property that is sorted by after the key may be missing: the emulator passes over the order"
        " and forgets the projection with it. The Firestore emulator leaves the entity out.",
        excuses=allow.shown_though_missing,
    ),
    Gap(
        "transactions whose commit failed",
        frozenset({DATASTORE}),
        "What a commit would have written that failed is written by the next commit of the transaction.",
        avoids=frozenset({"transactions that end twice"}),
    ),
    Gap(
        "rows of a compared array",
        frozenset({DATASTORE}),
        'As "arrays beside projections", where an inequality is what sorts by the array.',
        excuses=allow.rows_of_a_compared_array,
    ),
    Gap(
        "bases of nothing",
        frozenset({DATASTORE}),
        "The version that a reported conflict gives of a deleted entity is one of no entity: a base that nothing"
        " meets elsewhere. The API's reference has one that is greater than any before.",
        excuses=allow.base_of_nothing,
    ),
    Gap(
        "cursors of projections",
        frozenset({FIRESTORE}),
        "A cursor of a projection query that sorts by the key is refused by the query it is from.",
        excuses=allow.refused("index data should not include primary key"),
    ),
    Gap(
        "repeated orders",
        frozenset({FIRESTORE}),
        "An order that names a property twice is refused. The Datastore emulator passes over the second.",
        excuses=allow.refused("cannot contain duplicate fields"),
    ),
    Gap(
        "commits of nothing",
        frozenset({DATASTORE}),
        "A transaction whose commit changes nothing is not checked for conflicts.",
        excuses=allow.nothing_was_written,
    ),
    Gap(
        "order of characters",
        frozenset({DATASTORE}),
        "Names beyond U+FFFF sort as UTF-16 in queries over all kinds. Documented: by UTF-8.",
        avoids=frozenset({"supplementary characters"}),
    ),
)


def gaps_of(emulator: str) -> tuple[Gap, ...]:
    """The gaps of one emulator."""
    return tuple(gap for gap in GAPS if emulator in gap.emulators)


def avoided(emulator: str) -> frozenset[str]:
    """What the generator leaves out for an emulator."""
    return frozenset().union(*(gap.avoids for gap in gaps_of(emulator)))
