"""The examples do what their pages say."""

import shutil
from pathlib import Path

import pytest
from harness import NEVER, free_port
from harness.lab import TESTS, interpreter

EXAMPLES = TESTS.parent / "examples"


@pytest.fixture
def catalogue(lab):
    """A copy of the example, with a free port for its nameserver."""
    folder = lab.files / "catalogue"
    shutil.copytree(EXAMPLES / "catalogue", folder)
    port = free_port()
    file = folder / "lab.yaml"
    text = file.read_text()
    assert text.count("9090") == 1, "the port is written once"
    file.write_text(text.replace("9090", str(port)))
    lab.run("config", "update", "lab.yaml", cwd=folder)
    lab.run("up", cwd=Path("/"))
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


def test_every_file_of_the_example_is_named_on_its_page():
    page = (EXAMPLES / "catalogue" / "README.md").read_text()
    for file in (EXAMPLES / "catalogue").iterdir():
        if file.is_file() and file.name != "README.md":
            assert file.name in page
