"""What the hive asks Nix: whether an expression can be read, and which inputs are the newest.

Neither builds nor runs anything, and both run as the server does, who is nobody special.
"""
