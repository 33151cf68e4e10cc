"""The command line: one file per group of commands, thin on the client library.

Nothing heavy is imported before a command is chosen, and the server never, unless the command
is one that runs it.
"""
