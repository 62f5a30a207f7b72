"""What holds for every test."""

import gc
import signal

from hypothesis import HealthCheck, settings

# A shell that starts the tests in the background has them ignore Ctrl-C, and they would hand
# that on to every program that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without deadlines, since no test has a stopwatch, and without health checks, since a loaded
# machine is not a fault of the code.
COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("quick", COMMON, max_examples=60)
settings.register_profile("full", COMMON, max_examples=300)
settings.load_profile("quick")  # `pytest --hypothesis-profile=full` takes the other one


def pytest_collection_finish() -> None:
    """Keep what collecting the tests has made out of every garbage collection from here on.

    It lives until the end, and dozens of tests collect garbage: each would go through all of it.
    """
    gc.collect()
    gc.freeze()
