"""The git forge: provisioning it, and following what happens on it."""
