"""Members whose names hide types, and names that stubs cannot have."""

from typing import Dict, List

from ferrolab import expose


@expose
class Hard:
    '''A class whose text has """quotes""" and a \\ in it, and ends with "these"'''

    def list(self) -> List[int]:
        return []

    def int(self, property: int) -> Dict[str, List[float]]:
        return {}

    @property
    def str(self) -> str:
        return ""

    @property
    def property_of(self) -> float:
        return 1.0

    def go(self, speed, *, where=None) -> None:
        """Goes; "fast" is possible, C:\\new too."""

    def own_self(this, **self) -> None: ...

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> float:
        return 1.0


setattr(Hard, "odd", expose(eval("lambda self, λ, /, x=1: None")))
