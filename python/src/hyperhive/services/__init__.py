"""What can be asked of a hive: one class per noun, one transaction per method.

Every surface calls these and holds no rule of its own.
"""
