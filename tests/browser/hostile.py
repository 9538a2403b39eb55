"""A driver whose every text is an attack on a page that shows it."""

import logging

from Pyro5.api import expose

ATTACKS = [
    "<script>window.attacked = 1</script>",
    "<img src=x onerror='window.attacked = 1'>",
    "\"><svg onload=window.attacked=1>",
    "javascript:window.attacked=1",
    "${window.attacked=1}",
    "</textarea><iframe srcdoc='<script>parent.attacked=1</script>'>",
]


@expose
class Hostile:
    __doc__ = " ".join(ATTACKS)

    @property
    def reading(self):
        return " ".join(ATTACKS)

    def give(self, number: int):
        """<img src=x onerror='window.attacked = 1'>"""
        logging.warning(ATTACKS[number])
        return [ATTACKS[number], {ATTACKS[number]: ATTACKS[number]}]

    def fail(self, number: int):
        raise ValueError(ATTACKS[number])
