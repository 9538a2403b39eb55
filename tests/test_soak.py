"""A short soak; `cargo xtask soak --minutes 30` is a long one."""

from harness import EXTENDED
from soak.run import soak

# Seconds of the ordinary run.
SECONDS = 15
# Another one each day would find more, and explain less.
SEED = 2026


def test_a_short_soak_has_no_fault():
    said = []
    faults = soak(SECONDS, SEED, said.append, is_harsh=EXTENDED)
    assert faults == [], "\n".join([*said, *faults])
