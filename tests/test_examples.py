"""The examples do what their pages say."""

import shutil
import subprocess
from pathlib import Path

import pytest
from harness import NEVER, free_port
from harness.lab import TESTS, interpreter

EXAMPLES = TESTS.parent / "examples"


def up(lab, name):
    """Brings up a copy of an example, with a free port for its nameserver; its folder and port."""
    folder = lab.files / name
    shutil.copytree(EXAMPLES / name, folder)
    port = free_port()
    file = folder / "lab.yaml"
    text = file.read_text()
    assert text.count("9090") == 1, "the port is written once"
    file.write_text(text.replace("9090", str(port)))
    lab.run("config", "update", "lab.yaml", cwd=folder)
    lab.run("up", cwd=Path("/"))
    return folder, port


@pytest.fixture
def catalogue(lab):
    folder, port = up(lab, "catalogue")
    lab.client = [str(folder / "client.py"), "--port", str(port)]
    return lab


def test_the_catalogues_client(catalogue):
    client = catalogue.start(*catalogue.client, program=interpreter())
    text, _ = client.communicate(timeout=NEVER)
    assert client.returncode == 0, text
    for told in [
        "The library holds 4 books",
        "loan slip 1",
        "is refused: 'Silent Spring' is out on loan",
        "is back on its shelf",
    ]:
        assert told in text, text


def test_the_catalogue_from_the_command_line(catalogue):
    found = catalogue.run("call", "library.catalogue", "search", "'code'").stdout
    assert "Code Complete" in found
    first = catalogue.run("call", "library.desk", "next_slip").stdout
    second = catalogue.run("call", "library.desk", "next_slip").stdout
    assert int(second) == int(first) + 1
    lent = catalogue.run("call", "library.catalogue", "lend", "'nobody'", "'Ada'", check=False)
    assert lent.returncode == 1
    assert "NotOnShelf" in lent.text


def test_the_measurement(lab):
    folder, _ = up(lab, "measurement")
    environment = lab.environment() | {"PYTHONPATH": str(TESTS.parent / "python")}

    def program(*arguments):
        return subprocess.Popen([interpreter(), *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)

    monitor = program("monitor.py", "--readings", "3", "--every", "0.1")
    sweeps = [program("sweep.py", "--to", "2", "--steps", "4") for _ in range(2)]
    rows = [sweep.communicate(timeout=NEVER)[0].splitlines() for sweep in sweeps]
    assert [row.split(",")[0] for row in rows[0]] == ["set", "0.0", "0.5", "1.0", "1.5", "2.0"]
    epochs = [{row.split(",")[3] for row in table[1:]} for table in rows]
    assert [len(epoch) for epoch in epochs] == [1, 1] and epochs[0] != epochs[1], "each had its session"
    assert monitor.communicate(timeout=NEVER)[0].count(" V, ") == 3
    assert [process.returncode for process in [monitor, *sweeps]] == [0, 0, 0]
    assert "False" in lab.run("call", "bench.supply", "output").stdout
    monitor = program("-u", "monitor.py", "--readings", "1000000", "--every", "0.05")
    try:
        for step, words in [("start", " V, "), ("stop", "is stopped"), ("start", " V, ")]:
            lab.run(step, "daemon", "bench")
            assert next(line for line in monitor.stdout if words in line), "it reads on"
    finally:
        monitor.kill()
        monitor.communicate()


@pytest.mark.parametrize("name", ["catalogue", "measurement"])
def test_every_file_of_the_example_is_named_on_its_page(name):
    page = (EXAMPLES / name / "README.md").read_text()
    for file in (EXAMPLES / name).iterdir():
        if file.is_file() and file.name != "README.md":
            assert file.name in page
