"""What is done again and again beside everything else, without waiting for it."""

import queue
import threading

from fantasm_gcp.local.dev.ticker import Ticker

PATIENCE = 30.0


class Waits:
    """Waits until the test lets it go on, and remembers for how long it was to be."""

    def __init__(self):
        self.asked = queue.Queue()
        self._go = queue.Queue()

    def __call__(self, seconds):
        self.asked.put(seconds)
        return self._go.get(timeout=PATIENCE)

    def go_on(self):
        """Lets one wait end."""
        self._go.put(False)

    def end(self):
        self._go.put(True)


def test_it_acts_after_each_wait():
    """And not before the first."""
    waits, done = Waits(), queue.Queue()
    ticker = Ticker(lambda: done.put("acted"), 60.0, waits)
    ticker.start()
    for _ in range(3):
        assert 60.0 == waits.asked.get(timeout=PATIENCE)
        assert done.empty()
        waits.go_on()
        assert "acted" == done.get(timeout=PATIENCE)
    waits.end()
    assert ticker.stop(PATIENCE)
    assert done.empty()


def test_an_error_is_logged_and_does_not_end_it(caplog):
    """The next time may be better."""
    waits, done = Waits(), queue.Queue()

    def act():
        done.put("acted")
        raise ValueError("boom")

    ticker = Ticker(act, 60.0, waits)
    ticker.start()
    for _ in range(2):
        waits.go_on()
        done.get(timeout=PATIENCE)
    waits.end()
    assert ticker.stop(PATIENCE)
    assert ["what is done every 60 s failed: it is tried again"] * 2 == caplog.messages
    assert ["boom"] * 2 == [str(each.exc_info[1]) for each in caplog.records]


def test_stopping_ends_the_wait():
    """However long it is; and again, and before it has begun."""
    acted = []
    ticker = Ticker(lambda: acted.append(1), 1e6)
    assert ticker.stop()
    ticker = Ticker(lambda: acted.append(1), 1e6)
    ticker.start()
    assert ticker.stop(PATIENCE)
    assert ticker.stop(PATIENCE)
    assert [] == acted


def test_stopping_waits_for_what_is_being_done():
    """For so long as it is told to; then it answers that it has not ended."""
    begun, finish = threading.Event(), threading.Event()

    def act():
        begun.set()
        finish.wait(PATIENCE)

    waits = Waits()
    ticker = Ticker(act, 60.0, waits)
    ticker.start()
    waits.go_on()
    assert begun.wait(PATIENCE)
    assert not ticker.stop(0.0)
    finish.set()
    waits.go_on()
    assert ticker.stop(PATIENCE)


def test_its_thread_keeps_no_process_from_ending():
    """It is a daemon: a program that forgets to stop it ends all the same."""
    ticker = Ticker(lambda: None, 1e6)
    ticker.start()
    assert [True] == [each.daemon for each in threading.enumerate() if each.name == "ticker"]
    assert ticker.stop(PATIENCE)
