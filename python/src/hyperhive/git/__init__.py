"""Configuration of spawned agents in git: the only part of the hive that runs git on repositories.

Repositories that somebody else can write are never worked in: their objects are copied, and git
runs on the copy.
"""
