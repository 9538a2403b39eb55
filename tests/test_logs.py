"""A log that has grown: set aside by size, read across its files, with little memory."""

import json
import resource
import subprocess

import pytest
from harness import NEVER, wait_for

# As the program has them.
FILE_SIZE = 10 * 1024 * 1024
FILES_KEPT = 5

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {host: localhost}}
services: {lab.loud: {module: hazard, classname: Hazard, daemon: bench}}
autolaunch: {daemons: [bench]}
"""


def line(message, entry="daemon bench"):
    fields = {"entry": entry, "timestamp": "2026-05-01T10:00:00Z", "level": "INFO", "message": message}
    return json.dumps(fields) + "\n"


def fill(lab, name, size, mark, first=""):
    """Makes a file of the log with lines of 2 KiB, as many as fit into `size`."""
    logs = lab.home / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    filler, lines, room = "x" * 2000, [], size - len(first)
    while len(text := line(f"{mark} {len(lines)} {filler}")) <= room:
        lines.append(text)
        room -= len(text)
    (logs / name).write_text(first + "".join(lines))
    return len(lines)


def shown(lab, *arguments):
    return [json.loads(text) for text in lab.run("logs", "show", "--json", *arguments).stdout.splitlines()]


START = line("the lab starts", "supervisor")
LARGE = [
    ("show", "--all"),
    ("show",),
    ("show", "--json"),
    ("show", "-n", "20000"),
    ("show", "--all", "--grep", "old4 17 "),
    ("export", "-"),
]


@pytest.fixture(scope="module")
def large(module_lab):
    """A log as large as it gets: 60 MiB in six files, the lab's last start in the first of them."""
    names = [f"ferrolab.log.{number}" for number in range(FILES_KEPT, 0, -1)] + ["ferrolab.log"]
    module_lab.counts = [
        fill(module_lab, name, FILE_SIZE, f"old{number}", START if number == 0 else "")
        for number, name in enumerate(names)
    ]
    return module_lab


@pytest.mark.parametrize("words", LARGE, ids=" ".join)
def test_a_large_log_is_read_with_little_memory(large, words):
    data = 48 * 1024 * 1024

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (data, data))

    command = [large.binary, "logs", *words]
    result = subprocess.run(
        command, env=large.environment(), preexec_fn=limit, capture_output=True, text=True, timeout=NEVER
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    total = sum(large.counts)
    expected = {"-n": 20000, "--grep": 1}
    wanted = next((expected[word] for word in words if word in expected), total + 1)
    assert len(lines) == wanted
    assert f"old{FILES_KEPT} {large.counts[-1] - 1} " in lines[-1] or "--grep" in words
    if "-n" not in words and "--grep" not in words:
        assert "the lab starts" in lines[0]


def test_a_large_log_is_exported_with_little_memory(large):
    file = large.files / "whole.log"
    done = json.loads(large.run("logs", "export", file, "--json").stdout)
    assert done["lines"] == sum(large.counts) + 1
    parts = [large.home / f"logs/ferrolab.log.{number}" for number in range(FILES_KEPT, 0, -1)]
    whole = b"".join(part.read_bytes() for part in [*parts, large.home / "logs/ferrolab.log"])
    assert file.read_bytes() == whole


def test_how_many_lines_are_shown(large):
    assert len(shown(large, "-n", "0")) == sum(large.counts) + 1, "as with PyroLab"
    last = shown(large, "-n", "3")
    count = large.counts[-1]
    assert [text["message"].split()[1] for text in last] == [str(count - 3), str(count - 2), str(count - 1)]
    found = shown(large, "-n", "2", "--grep", "old1 ")
    count = large.counts[1]
    assert [text["message"].split()[1] for text in found] == [str(count - 2), str(count - 1)]


@pytest.mark.parametrize("words", ["logs show", "logs show --json", "logs export -"])
def test_a_reader_that_goes_away_ends_it_quietly(large, words):
    shell = f"('{large.binary}' {words}; echo code $? >&2) | head -1"
    result = subprocess.run(
        ["sh", "-c", shell], env=large.environment(), capture_output=True, text=True, timeout=NEVER
    )
    assert result.stderr == "code 0\n" and len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("words", ["logs show", "logs export -"])
def test_output_that_cannot_be_written_is_an_error(large, words):
    shell = f"'{large.binary}' {words} > /dev/full"
    result = subprocess.run(
        ["sh", "-c", shell], env=large.environment(), capture_output=True, text=True, timeout=NEVER
    )
    assert result.returncode == 1 and "No space left" in result.stderr


def test_a_full_log_is_set_aside_and_read_across(lab):
    """The size limit, how many files are kept, what `show` and `export` find, and who follows."""
    for number in range(FILES_KEPT, 0, -1):
        fill(lab, f"ferrolab.log.{number}", 100_000, f"old{number}")
    fill(lab, "ferrolab.log", FILE_SIZE - 100_000, "current")
    log = lab.home / "logs/ferrolab.log"
    aside = [log.with_name(f"ferrolab.log.{number}") for number in range(1, FILES_KEPT + 2)]
    before = [file.read_bytes() for file in aside[: FILES_KEPT - 1]]
    lab.config(CONFIGURATION)
    lab.up()
    assert log.stat().st_size < FILE_SIZE, "the lab's start has not filled it"
    follow = lab.start("logs", "follow", "--service", "lab.loud", "--grep", "word")
    with lab.proxy("lab.loud") as loud:
        first = 0
        # It is read along from here on.
        loud.talk("word first")
        said = [next(follow.stdout)]

        def rotated():
            nonlocal first
            loud.talk(f"word {first} " + "y" * 5000)
            first += 1
            return log.stat().st_size < FILE_SIZE // 2

        # For a moment there is no file of this name.
        wait_for(rotated, 120, "the log is set aside", ignoring=FileNotFoundError)
        for _ in range(3):
            loud.talk(f"word {first} after")
            first += 1
        loud.talk("word last")
    assert FILE_SIZE <= aside[0].stat().st_size < FILE_SIZE + 20_000, "whole lines, up to the limit"
    assert [file.read_bytes() for file in aside[1:FILES_KEPT]] == before, "each has moved on by one"
    wait_for(lambda: not aside[FILES_KEPT].exists(), NEVER, "no more are kept")
    assert log.stat().st_mode & 0o777 == 0o600

    told = lambda text: "on stdout: word" in text
    wanted = ["first", *map(str, range(first)), "last"]
    word = lambda text: text.split("on stdout: word ")[1].split()[0]
    wait_for(lambda: len(shown(lab, "--grep", "on stdout: word last")) == 1, 30, "all of it is written")
    found = [entry["message"] for entry in shown(lab, "--service", "lab.loud")]
    assert [word(text) for text in filter(told, found)] == wanted, "read across both files, in order"
    everything = shown(lab, "--all", "-n", "1000000")
    assert any("old4 " in entry["message"] for entry in everything)
    assert not any("old5 " in entry["message"] for entry in everything), "the oldest has gone"
    # Ends when the last line comes; one that never comes is the test's own timeout.
    for text in follow.stdout:
        said.append(text)
        if "on stdout: word last" in text:
            break
    assert [word(text) for text in filter(told, said)] == wanted, "following goes on over it"
