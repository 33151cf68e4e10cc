"""The rules of a hive, pure: no clock, no I/O, no framework, only the standard library."""
