"""Homes and conversations of earlier releases, as `tests/fixtures` keeps them.

Owns the placeholders: a record names no path and no port of the machine that it was made on.
`tests/fixtures/record.py` puts them in, `Record` puts a test's own values in their place.
"""

import contextlib
import json
import re
import sqlite3
from pathlib import Path

from .lab import TESTS, interpreter
from .ports import free_port
from .stand_in import ASKED, EXITED, SAID

FIXTURES = TESTS / "fixtures"
RELEASES = sorted(file.parent.name for file in FIXTURES.glob("*/facts.json"))
# A nameserver's database, as the SQL that makes it.
DUMP = ".dump"
PLACEHOLDER = re.compile(r"@(\w+)(?::(\w+))?@")


class Record:
    """A release's record, opened in the home of a lab that has not run yet."""

    def __init__(self, release, lab):
        self.folder = FIXTURES / release
        self.lab = lab
        self.ports = {}
        self.copy("home", lab.home)
        self.copy("files", lab.files)
        self.conversations = lab.folder / "conversations"
        self.copy("conversations", self.conversations)
        self.facts = json.loads(self.text(self.folder / "facts.json"))

    def copy(self, name, target):
        source = self.folder / name
        for file in sorted(source.rglob("*")):
            copied = target / file.relative_to(source)
            if file.is_dir():
                continue
            copied.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if copied.suffix == DUMP:
                with contextlib.closing(sqlite3.connect(copied.with_suffix(""))) as database:
                    database.executescript(self.text(file))
            else:
                copied.write_text(self.text(file), encoding="utf-8")
                copied.chmod(0o600)

    def text(self, file):
        """A recorded file with this lab's own paths and ports."""
        paths = {"home": self.lab.home, "files": self.lab.files, "python": interpreter()}
        paths["library"] = Path(json.__file__).parent.parent

        def value(found):
            what, name = found.groups()
            if what != "port":
                return str(paths[what])
            return str(self.ports.setdefault(name, free_port()))

        return PLACEHOLDER.sub(value, file.read_text(encoding="utf-8"))

    def child(self, kind, name):
        """A recorded conversation of a child: what it was told, what it said."""
        lines = self.lines(f"{kind}-{name}.txt")
        return marked(lines, ASKED), [json.loads(line) for line in marked(lines, SAID)]

    def commands(self):
        """Each recorded command's words, exchanges (a request, its answers) and exit code."""
        found = []
        for line in self.lines("control.txt"):
            mark, rest = line[:2], line[2:]
            if mark == "# ":
                words, exchanges = rest.split()[1:], []
            elif mark == ASKED:
                exchanges.append((json.loads(rest), []))
            elif mark == SAID:
                exchanges[-1][1].append(json.loads(rest))
            elif mark == EXITED:
                found.append((words, exchanges, int(rest)))
        return found

    def lines(self, name):
        return (self.conversations / name).read_text(encoding="utf-8").splitlines()

    def recorded(self, folder):
        """The recorded files of a folder of the home, as texts."""
        files = sorted((self.folder / "home" / folder).iterdir())
        return {file.name: self.text(file) for file in files}


def marked(lines, mark):
    return [line.removeprefix(mark) for line in lines if line.startswith(mark)]


def kind(value):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return type(value).__name__
    return "number"


def missing(samples, found, where="it"):
    """The parts of all the recorded `samples` that a reader would miss in `found`, in words.

    That is a key that each sample has, or a value of a kind that no sample has there. More keys are
    no loss to any release's way of reading JSON, and where null was recorded, the key may be gone;
    where nothing else was, anything may be.
    """
    kinds = {kind(sample) for sample in samples}
    if kinds <= {"NoneType"}:
        return []
    if kind(found) not in kinds:
        return [f"{where} is {json.dumps(found)[:80]}"]
    alike = [sample for sample in samples if kind(sample) == kind(found)]
    lost = []
    if isinstance(found, dict):
        always = set.intersection(*({key for key in sample if sample[key] is not None} for sample in alike))
        lost += [f"{where}.{key} is not there" for key in sorted(always - found.keys())]
        for key, value in found.items():
            lost += missing([sample[key] for sample in alike if key in sample], value, f"{where}.{key}")
    elif isinstance(found, list):
        entries = [entry for sample in alike for entry in sample]
        for value in found:
            lost += missing(entries, value, f"{where}[]")
    return lost


def relocatable(text, values):
    """A text with placeholders for parts of one machine; `values` has these by placeholder."""
    # A path may begin with another one.
    for placeholder, value in sorted(values.items(), key=lambda pair: -len(str(pair[1]))):
        edge = r"\b" if isinstance(value, int) else ""
        text = re.sub(edge + re.escape(str(value)) + edge, placeholder, text)
    return text


def dumped(database):
    """The SQL that makes a database, settings of the file included."""
    with contextlib.closing(sqlite3.connect(f"file:{Path(database)}?mode=ro", uri=True)) as connection:
        settings = {key: connection.execute(f"PRAGMA {key}").fetchone()[0] for key in ("journal_mode", "user_version")}
        lines = [f"PRAGMA {key}={value};" for key, value in settings.items()]
        return "\n".join([*lines, *connection.iterdump()]) + "\n"
