"""GQL: the text form of queries, translated into the structured form, which is the one that is run.

``lexer`` cuts the text into tokens, ``parser`` (with ``conditions`` and ``literals``) reads statements of
them, ``bindings`` looks after the parameters, and ``structured`` makes the messages.
"""

from __future__ import annotations

from typing import Any

from fantasm_gcp.local.datastore.entity.keys import resolve_partition
from fantasm_gcp.local.datastore.entity.messages import AggregationQuery, Query, invalid
from fantasm_gcp.local.datastore.gql.bindings import Bindings
from fantasm_gcp.local.datastore.gql.parser import parse_statement
from fantasm_gcp.local.datastore.gql.structured import fill_aggregation_query, fill_query
from fantasm_gcp.local.datastore.gql.syntax import Aggregate

__all__ = ["read_gql", "read_gql_aggregation", "structured_aggregation", "structured_query"]


def structured_query(request: Any, response: Any) -> Any:
    """The raw ``Query`` of a RunQuery in either form; one of GQL is shown in the response too.

    Raises INVALID_ARGUMENT for a request without a query, and as :func:`read_gql` does.
    """
    match request.WhichOneof("query_type"):
        case "query":
            return request.query
        case "gql_query":
            query = read_gql(request.gql_query, request.partition_id, request.project_id, request.database_id)
            response.query.CopyFrom(query)  # a copy: what checks the query completes keys in it
            return query
    raise invalid("one of fields Query.query and Query.gql_query must be set")


def structured_aggregation(request: Any, response: Any) -> Any:
    """The raw ``AggregationQuery`` of a RunAggregationQuery in either form, as :func:`structured_query`."""
    match request.WhichOneof("query_type"):
        case "aggregation_query":
            return request.aggregation_query
        case "gql_query":
            query = read_gql_aggregation(
                request.gql_query, request.partition_id, request.project_id, request.database_id
            )
            response.query.CopyFrom(query)
            return query
    raise invalid("one of fields Query.query and Query.gql_query must be set")


def read_gql(gql: Any, partition_id: Any, project: str, database: str) -> Any:
    """The raw ``Query`` that the ``GqlQuery`` of a RunQuery means, in that partition.

    Raises INVALID_ARGUMENT for text that is no GQL or holds aggregations, and for bindings that do not fit.
    The query itself is yet to be checked.
    """
    bindings = Bindings(gql)
    statement = parse_statement(gql.query_string)
    if isinstance(statement, Aggregate):
        raise invalid("The GQL query has aggregations, which RunAggregationQuery runs, not RunQuery.")
    query = Query()
    fill_query(query, statement, bindings, resolve_partition(partition_id, project, database))
    bindings.check_used()
    return query


def read_gql_aggregation(gql: Any, partition_id: Any, project: str, database: str) -> Any:
    """The raw ``AggregationQuery`` that the ``GqlQuery`` of a RunAggregationQuery means.

    Raises INVALID_ARGUMENT as :func:`read_gql` does, and for a query without aggregations.
    """
    bindings = Bindings(gql)
    statement = parse_statement(gql.query_string)
    if not isinstance(statement, Aggregate):
        raise invalid("The GQL query has no aggregations: RunQuery runs it, not RunAggregationQuery.")
    message = AggregationQuery()
    partition = resolve_partition(partition_id, project, database)
    fill_aggregation_query(message, statement, bindings, partition)
    bindings.check_used()
    return message
