"""Waiting for Ctrl-C and SIGTERM, in whatever thread of the process they arrive."""

import os
import signal
import sys
import threading
import time

import pytest

from fantasm_gcp.cli.stopping import Stopping

PATIENCE = 20.0


def test_a_signal_that_another_thread_is_given_ends_the_wait():
    """The system may give a signal to any thread: of a process under load that is often not the main one."""
    main = threading.get_ident()

    def signal_once_main_waits():
        while sys._current_frames()[main].f_code is not Stopping.wait.__code__:
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    other = threading.Thread(target=signal_once_main_waits)
    with Stopping() as stopping:
        stopping.begin()
        began = time.monotonic()
        other.start()
        assert stopping.wait(PATIENCE)
        assert time.monotonic() - began < PATIENCE
        other.join()


def test_a_signal_that_came_before_the_wait_ends_it_at_once():
    """It is remembered, and asked for again it is still there."""
    with Stopping() as stopping:
        stopping.begin()
        os.kill(os.getpid(), signal.SIGINT)
        assert (True, True) == (stopping.wait(PATIENCE), stopping.wait())


def test_a_signal_before_the_beginning_and_a_second_one_interrupt():
    """A start half done is undone, and who asks twice is not kept waiting."""
    with Stopping() as stopping:
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
        stopping.begin()
        with pytest.raises(KeyboardInterrupt, match="SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)


def test_other_signals_and_no_signal_do_not_count():
    """The wait goes on to its end; afterwards the process has the handlers that it had before."""
    handled = []
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    before = signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
    try:
        with Stopping() as stopping:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not stopping.wait(0.01)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [1] == handled
    assert handlers == {each: signal.getsignal(each) for each in handlers}
    assert -1 == signal.set_wakeup_fd(-1)


def test_a_closed_terminal_ends_the_wait_unless_it_is_to_be_ignored():
    """nohup has it ignored before the process begins, and it stays so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with Stopping() as stopping:
            stopping.begin()
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopping.wait(PATIENCE)
        assert signal.SIG_DFL == signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Stopping() as stopping:
            stopping.begin()
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopping.asked
    finally:
        signal.signal(signal.SIGHUP, before)
