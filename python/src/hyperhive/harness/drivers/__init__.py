"""What runs a turn: one module per driver, named after the ``kind`` a declaration gives it.

``port`` says what a driver promises, ``catalogue`` finds one by its kind, ``processes`` runs a
program and ends it with all it started.
"""
