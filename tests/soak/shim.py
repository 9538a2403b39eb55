"""Orders to the library that makes clocks jump and writes fail in a soaked lab (`shim.c`)."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

# Nanoseconds that the wall clock is ahead, writes until one fails, writes that have failed.
ORDERS = struct.Struct("qqq")


class Shim:
    """The orders that the processes of a lab obey."""

    def __init__(self, lab):
        self._file = lab.folder / "orders"
        self._file.write_bytes(bytes(ORDERS.size))
        library = lab.folder / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        lab.variables = {"LD_PRELOAD": str(library), "FERROLAB_SOAK_ORDERS": str(self._file)}
        with self._file.open("r+b") as file:
            self._orders = mmap.mmap(file.fileno(), ORDERS.size)

    @classmethod
    def of(cls, lab):
        """The shim of a lab; None where there is no compiler."""
        return cls(lab) if shutil.which("cc") else None

    def _put(self, place, number):
        struct.pack_into("q", self._orders, 8 * place, number)

    def jump(self, seconds):
        """The wall clock is so far from the right time from now on."""
        self._put(0, int(seconds * 1e9))

    def fail_write(self, number):
        """Of the coming writes to files of the lab, the one with this number fails."""
        self._put(1, number)

    def failed(self):
        """Writes that have failed."""
        return ORDERS.unpack(self._orders[:])[2]

    def rest(self):
        """Clocks are right again, and writes work."""
        self.jump(0)
        self.fail_write(0)
