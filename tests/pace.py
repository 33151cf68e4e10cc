"""How long something promised in seconds may take on a machine that is busy with other tests."""

import os


def on_this_machine(seconds: float) -> float:
    """Give the promised seconds, times the processes that want each processor.

    The promises are for a machine that has room. One that has two processes for every processor
    gives each half of its time, and a test that fails for that says nothing about us.
    """
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
