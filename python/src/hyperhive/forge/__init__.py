"""The only place that speaks to a forge: a client for any, one that is part of the hive, and what
keeps it as declared and follows what happens on it.
"""
