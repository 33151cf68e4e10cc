"""How notifications leave the hive; the only package that calls out to where the operator is."""
