"""How long something promised in seconds may take on a machine that is busy with other tests."""

import os
from pathlib import Path


def on_this_machine(seconds: float) -> float:
    """Give the promised seconds, times the processes that want each processor.

    The promises are for a machine that has room. One that has two processes for every processor
    gives each half of its time, and a test that fails for that says nothing about us. The load
    average is a minute's, so how many want to run just now counts, too.
    """
    running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    return seconds * max(1.0, max(os.getloadavg()[0], running) / (os.cpu_count() or 1))
