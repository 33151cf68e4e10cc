"""When things are done again: the only place that knows APScheduler."""
