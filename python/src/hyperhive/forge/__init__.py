"""The only place that speaks to a forge: the client for any, and the forge that is part of the hive."""
