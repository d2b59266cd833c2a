"""Clients are made anew in each process, also where a fork comes at a bad moment."""

from __future__ import annotations

import linecache
import os
import sys
import threading

import pytest

from fantasm_gcp.gateways.per_process import PerProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(act):
    """The exit status of a forked child that runs something; 9 where it raised."""
    child = os.fork()
    if child == 0:
        status = 9
        try:
            status = act()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_value_is_made_once_in_a_process_and_again_in_a_child():
    """The same one for every caller; another one after a fork."""
    made = []
    value = PerProcess(lambda: made.append(os.getpid()) or os.getpid())
    assert os.getpid() == value() == value()
    assert 1 == len(made)
    assert 0 == in_child(lambda: 0 if value() == os.getpid() else 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_while_another_thread_makes_the_value_does_not_hang_the_child():
    """The lock that the other thread holds is not the child's."""
    begun, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    def make():
        if os.getpid() == parent:
            begun.set()
            go_on.wait(30)
        return os.getpid()

    value = PerProcess(make)
    thread = threading.Thread(target=value)
    thread.start()
    begun.wait(30)
    try:
        assert 0 == in_child(lambda: 0 if value() == os.getpid() else 1)
    finally:
        go_on.set()
        thread.join()


def waits_in_lock(thread):
    """Whether a thread has come to where it waits for the one that makes the value."""
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and (
        linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() == "with self._lock:"
    )


def test_who_waits_for_a_failure_shares_it_and_who_asks_later_does_not():
    """With many threads each would else wait for a failure of his own, one after the other."""
    tries, errors, others = [], [], []

    def ask():
        try:
            value()
        except OSError as error:
            errors.append(error)

    def make():
        tries.append(threading.current_thread())
        if len(tries) > 1:
            return "made"
        others.extend(threading.Thread(target=ask) for _ in range(3))
        for each in others:
            each.start()
        while not all(map(waits_in_lock, others)):
            pass
        raise OSError("no answer")

    value = PerProcess(make)
    ask()
    for each in others:
        each.join(30)
    assert (1, 4, 1) == (len(tries), len(errors), len(set(errors)))
    assert "made" == value() == value()
