"""Running whole machines in a test: the local servers in memory, a clock that is moved by hand, and faults.

Nothing of the engine is replaced: the real clients talk to the local servers over a channel of the process,
and every step is a request to the Flask application.
"""

from fantasm_gcp.testing.clock import VirtualClock
from fantasm_gcp.testing.faults import Crash, Rpc, intercepted
from fantasm_gcp.testing.harness import Harness

__all__ = ["Crash", "Harness", "Rpc", "VirtualClock", "intercepted"]
