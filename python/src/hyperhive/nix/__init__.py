"""What the hive asks Nix: whether an expression can be read, which inputs are the newest, a system.

All of it runs as the server does, who is nobody special, and nothing that is built is run.
"""
