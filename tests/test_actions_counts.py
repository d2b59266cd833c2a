"""How many results a continuation had, as the contexts of a fan-in tell it."""

from __future__ import annotations

import random

import pytest
from action_pages import context_of

from fantasm_gcp.action import ContinuationFSMAction, ListContinuationFSMAction
from fantasm_gcp.core.context import Context, Page

total = ContinuationFSMAction.total_results_count


def chain(*sizes):
    """The pages of a continuation by the numbers of their results."""
    return [
        Page(number, size, sum(sizes[:number]), last=number == len(sizes) - 1)
        for number, size in enumerate(sizes)
    ]


def arrived(*pages):
    """A context that came through pages, the outermost first."""
    context = context_of()
    return Context(context._scope, {}, pages)


@pytest.mark.fantasm(172)
def test_a_context_tells_the_number_of_results_on_its_page():
    """On that of the innermost continuation; there are none without a continuation."""
    assert 3 == ContinuationFSMAction.getResultsCount(arrived(Page(4, 3, 8, False)), {})
    assert 2 == ContinuationFSMAction.results_count(arrived(Page(0, 7, 0, True), Page(1, 2, 5, False)))
    assert 0 == ContinuationFSMAction.getResultsCount(arrived(), {})
    assert 0 == ContinuationFSMAction.getResultsCount({}, {})
    assert 5 == sum(ContinuationFSMAction.getResultsCount(arrived(page), {}) for page in chain(2, 2, 1, 0))


@pytest.mark.fantasm(172)
def test_the_total_is_known_once_the_last_page_is_there():
    """Whichever other pages are; with an empty last page, too."""
    for pages in (chain(3), chain(0), chain(2, 2, 1), chain(2, 2, 0), chain(5, 1)):
        expected = sum(page.size for page in pages)
        assert expected == total([arrived(pages[-1])], {})
        assert expected == total([arrived(page) for page in reversed(pages)], {})
        assert total([arrived(page) for page in pages[:-1]], {}) is None


def test_both_names_are_the_same_and_classes_have_them():
    """Fantasm's users call them on the class."""
    contexts = [arrived(Page(1, 2, 3, True))]
    assert 5 == ListContinuationFSMAction.checkFanInForTotalResultsCount(contexts, {})
    assert 5 == ListContinuationFSMAction.total_results_count(contexts)


def test_without_contexts_or_continuations_nothing_is_known():
    """Contexts of branches that came another way do not count."""
    assert total([], {}) is None
    assert total([arrived(), arrived()], {}) is None
    assert total([{}, {}], {}) is None
    assert 4 == total([arrived(), arrived(Page(1, 1, 3, True))], {})


def test_forks_of_a_page_count_once():
    """All of them came through it."""
    assert 3 == total([arrived(page) for page in chain(2, 1) for _ in range(4)], {})


def test_the_total_of_a_continuation_inside_of_another_is_that_of_all_its_runs():
    """Two outer pages: three results inside of the first, one inside of the second."""
    outer = chain(1, 1)
    inner = [chain(2, 1), chain(1)]
    contexts = [arrived(outer[0], page) for page in inner[0]] + [arrived(outer[1], page) for page in inner[1]]
    assert 4 == total(contexts, {})
    assert 4 == total([contexts[2], contexts[1]], {})
    assert total(contexts[:2], {}) is None
    assert total([contexts[0], contexts[2]], {}) is None
    assert total([contexts[2]], {}) is None


def test_an_outer_page_without_an_inner_one_leaves_the_total_unknown():
    """Its branch may still be on its way into the inner continuation."""
    outer = chain(1, 1)
    assert total([arrived(outer[0], *chain(2)), arrived(outer[1])], {}) is None


def grown(source, depth, path=()):
    """All branches of continuations inside of each other, and the number of results of the innermost."""
    sizes = [source.randrange(4) for _ in range(source.randrange(1, 4))]
    branches, results = [], 0
    for page in chain(*sizes):
        if depth == 1:
            branches.append((*path, page))
            results += page.size
        else:
            below, more = grown(source, depth - 1, (*path, page))
            branches += below
            results += more
    return branches, results


def known(branches):
    """Whether what is there tells the total: for each inner run its last page, for each outer one all."""
    if not any(pages[0].last for pages in branches):
        return False
    if len(branches[0]) == 1:
        return True
    count = 1 + next(pages[0].number for pages in branches if pages[0].last)
    below = [[pages[1:] for pages in branches if pages[0].number == number] for number in range(count)]
    return all(each and known(each) for each in below)


@pytest.mark.parametrize("seed", range(20))
def test_random_nestings_in_any_order_of_arrival_and_with_branches_missing(seed):
    """Up to four levels: right or unknown, never wrong, and never unknown where all are there."""
    source = random.Random(seed)
    told = 0
    for _ in range(50):
        branches, results = grown(source, source.randrange(1, 5))
        source.shuffle(branches)
        assert results == total([arrived(*pages) for pages in branches], {})
        there = [pages for pages in branches if source.random() < 0.9]
        expected = results if there and known(there) else None
        assert expected == total([arrived(*pages) for pages in there], {})
        told += expected is not None
    assert told > 0
