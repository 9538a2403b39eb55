"""An instrument that is off, broken, loud, deaf or hanging while a file in its folder says so."""

import os
import time


class Patient:
    """Its folder has the files `off`, `broken`, `loud`, `deaf` and `hang` while it is so, and
    `life`, its notes of what becomes of it."""

    def __init__(self, folder):
        self._folder = folder
        self._is_bad = False
        if self._has("off"):
            raise ConnectionError("no answer from COM4")
        self._note("made")

    def _has(self, name):
        return os.path.exists(os.path.join(self._folder, name))

    def _note(self, what):
        with open(os.path.join(self._folder, "life"), "a") as life:
            print(what, file=life)

    def identify(self):
        """Cheap; a broken one stays so until there is another instance."""
        if self._has("hang"):
            self._note("hangs")
        while self._has("hang"):
            time.sleep(0.02)
        if self._has("broken"):
            os.remove(os.path.join(self._folder, "broken"))
            self._is_bad = True
        if self._is_bad:
            raise OSError("the handle is stale")
        if self._has("loud"):
            raise OSError("loud " * (1 << 18))
        return not self._has("deaf")

    def position(self):
        return 7

    def move(self):
        """A call that ends when the file `moved` is there."""
        self._note("moves")
        while not self._has("moved"):
            time.sleep(0.02)
        self._note("has moved")

    def close(self):
        self._note("closed")
