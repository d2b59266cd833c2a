"""A CSV report in three fan-in stages: exact to the cent, whatever order things come in."""

from __future__ import annotations

import csv
import random
from datetime import date, timedelta
from decimal import Decimal

import pytest
from google.cloud import datastore

from machines.csv_report import CUSTOMERS_PAGE, HEADER, RANGE, RANGES_PAGE
from machines.stage import (
    DELIVERIES,
    METHODS,
    RUNS,
    STORMS,
    committed,
    entities,
    finish,
    storm,
    without_zeros,
)

MACHINES = "csv_report.yaml"
REGIONS = ("north", 'Süd, "West"\nund mehr', "", "0")
"""Values of the group that a name would not bear."""

ROWS_OF_CUSTOMERS = (0, 1, 3, 4, 8, 9, 17)
"""Rows of a customer: none, one, a range, a page of ranges, and one more than each."""

FAN_INS = ("Manifest", "CollectRows", "CollectCustomers", "CollectRegions")


def ledger(customers):
    """Customers with their regions and rows: amounts of all sizes and signs, of which no sum is exact in binary."""
    source = random.Random(customers)
    found = []
    for number in range(customers):
        rows = [
            (
                date(2026, 1, 1) + timedelta(days=source.randrange(730)),
                Decimal(source.choice(("0.10", "-0.01", "1234567890123456.78", "99.99", "-7", "0.001"))),
            )
            for _ in range(ROWS_OF_CUSTOMERS[number % len(ROWS_OF_CUSTOMERS)])
        ]
        found.append((REGIONS[number % 3] if number else REGIONS[-1], rows))
    return found


def enter(harness, customers):
    client = harness.datastore
    for number, (region, rows) in enumerate(ledger(customers)):
        customer = datastore.Entity(client.key("Customer", f"c{number:03}"))
        customer.update(number=number, region=region, rows=len(rows))
        lines = [customer]
        for i, (day, amount) in enumerate(rows, start=1):
            row = datastore.Entity(client.key("Row", i, parent=customer.key))
            row.update(day=day.isoformat(), amount=str(amount))
            lines.append(row)
        client.put_multi(lines)


def expected_report(customers):
    """What the file has to say, added up in one go."""
    found = {}
    for region, rows in ledger(customers):
        line = found.setdefault(region, [0, 0, Decimal(0), []])
        line[0] += 1
        line[1] += len(rows)
        line[2] += sum(amount for _, amount in rows)
        line[3] += [day for day, _ in rows]
    return [
        [region, str(count), str(rows), amount, *(map(str, (min(days), max(days))) if days else ("", ""))]
        for region, (count, rows, amount, days) in sorted(found.items())
    ]


def report_in(harness, instance):
    """The one file that was written, which is the one that was published."""
    (file,), (published,) = entities(harness, "ReportFile"), entities(harness, "Published")
    assert (instance, instance) == (file["instance"], published["instance"])
    assert isinstance(published["content"], bytes)
    assert file["content"] == published["content"]
    header, *lines = csv.reader(file["content"].decode().splitlines(keepends=True))
    assert list(HEADER) == header
    return [[*line[:3], Decimal(line[3]), *line[4:]] for line in lines]


def runs_of(customers):
    """How often each place runs where every window holds all that it can."""
    pages = customers // CUSTOMERS_PAGE + 1
    ranges = [-(-len(rows) // RANGE) for _, rows in ledger(customers)]
    reads = sum(max(1, -(-each // RANGES_PAGE)) for each in ranges)
    return without_zeros(
        {
            "Customers continuation": pages,
            "Customers": pages,
            "Part": pages + customers,
            "Manifest": 1,
            "Rows continuation": reads,
            "Rows": reads,
            "CollectRows": customers,
            "CollectCustomers": len({region for region, _ in ledger(customers)}),
            "CollectRegions": int(customers > 0),
            "Write": 1,
            "Publish": 1,
        }
    )


@pytest.mark.fantasm(168, 169, 170, 171, 172, 174, 182, 184)
@pytest.mark.parametrize("customers", [0, 1, 2, 7, 12])
@DELIVERIES
def test_the_report_is_exact(harness, customers, deliver):
    """Each row counts once, from none at all to several pages of each kind; each place runs as often as it must."""
    enter(harness, customers)
    instance = finish(harness, "CsvReport/", deliver)
    assert expected_report(customers) == report_in(harness, instance)
    assert runs_of(customers) == RUNS == committed(harness)
    (report,) = entities(harness, "Report")
    assert (customers, customers, customers) == (report["of"], report["listed"], report["customers"])


@pytest.mark.fantasm(215)
@METHODS
def test_by_either_method(harness, method):
    """Decimals, dates, tuples, keys and bytes come through the URL of a task as through its body."""
    enter(harness, 5)
    instance = finish(harness, "CsvReport/", method=method)
    assert expected_report(5) == report_in(harness, instance)


@pytest.mark.fantasm(172, 188, 190, 191, 192)
@STORMS
def test_a_storm_changes_nothing(harness, seed):
    """The counts tell when everything is there, also where fan-ins have several windows; one file is written."""
    enter(harness, 6)
    instance = finish(harness, "CsvReport/", storm(seed))
    assert expected_report(6) == report_in(harness, instance)
    found, expected = committed(harness), runs_of(6)
    for place in FAN_INS:
        assert found.pop(place) >= expected.pop(place)
    assert expected == found
