"""Soak of a whole lab: clients, drivers and operators at random, with faults, and checks.

    python -m soak --minutes 30 --seed 7       (in `tests`, or `cargo xtask soak`)

`clients` use the lab, `faults` harm it, `checks` hold it to its promises, `slopes` shows growth.
"""
