"""A driver whose every text is an attack on a page that shows it."""

import logging

from Pyro5.api import expose

CODE = "window.attacked=1"
ELEMENTS = [
    f"<script>{CODE}</script>",
    f"<img src=x onerror='{CODE}'>",
    f"<svg onload={CODE}>",
    "<iframe srcdoc='<script>parent.attacked=1</script>'></iframe>",
    f"<a href='javascript:{CODE}'>x</a>",
    f"<details open ontoggle={CODE}>x</details>",
    f"<input autofocus onfocus={CODE}>",
    f"javascript:{CODE}",
    f"${{{CODE}}}",
]
# Each could end the text or the attribute that it is put into.
ENDS = ["", '">', "'>", "</textarea>", "</title></style></script>", "-->", "]]>", "`", "}}"]
ATTACKS = [end + element for end in ENDS for element in ELEMENTS]
PARTS = [ATTACKS[first : first + len(ELEMENTS)] for first in range(0, len(ATTACKS), len(ELEMENTS))]


@expose
class Hostile:
    __doc__ = " ".join(ATTACKS)

    @property
    def reading(self):
        return " ".join(ATTACKS)

    def give(self, number: int):
        """<img src=x onerror='window.attacked=1'>"""
        for attack in PARTS[number]:
            logging.warning(attack)
        return [*PARTS[number][:7], {attack: attack for attack in PARTS[number]}]

    def fail(self, number: int):
        raise ValueError("\n".join(PARTS[number]))
