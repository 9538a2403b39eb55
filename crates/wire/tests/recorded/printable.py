"""Writes src/printable.rs: where `str.isprintable` changes its mind, for CPython 3.11 (Unicode 14.0).

    python3.11 crates/wire/tests/recorded/printable.py | rustfmt > crates/wire/src/printable.rs
"""

import sys
import unicodedata

assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version

toggles = []
printable = False
for code in range(sys.maxunicode + 1):
    if chr(code).isprintable() != printable:
        printable = not printable
        toggles.append(code)

print("//! Which characters Python's `repr` shows as they are: Unicode 14.0, that of CPython 3.11.")
print("//!")
print("//! Made by tests/recorded/printable.py.")
print()
print("/// Whether Python's `str.isprintable` says yes to this character.")
print("pub(crate) fn is_printable(c: char) -> bool {")
print("    // An odd number of changes so far: inside a printable range.")
print("    TOGGLES.partition_point(|&toggle| toggle <= c as u32) % 2 == 1")
print("}")
print()
print("/// The first character of every printable range and of every other one, in turn.")
print("#[rustfmt::skip]")
print("static TOGGLES: [u32; %d] = [" % len(toggles))
line = "   "
for toggle in toggles:
    item = " %d," % toggle
    if len(line) + len(item) > 100:
        print(line)
        line = "   "
    line += item
print(line)
print("];")
