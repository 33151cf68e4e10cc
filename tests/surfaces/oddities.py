"""Values that no polite client sends: huge, empty, not numbers, nested, of the wrong type."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LIGHT = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""As many tries as a whole hive can bear within some seconds."""

NAMES = st.sampled_from(["alice", "queen", "operator", "manager", "*", "nobody", "", "\0", "é"])
NUMBERS = st.integers() | st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30])
SCALARS = NUMBERS | NAMES | st.text(max_size=40) | st.none() | st.booleans() | st.floats()
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
