"""The examples do what their pages say."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import NEVER, free_port, wait_for
from harness.lab import SLOW_DRIVER, TESTS, interpreter

EXAMPLES = TESTS.parent / "examples"


def up(lab, name, prepare=lambda folder: None):
    """Brings up a copy of an example, with a free port for its nameserver; its folder and port."""
    folder = lab.files / name
    shutil.copytree(EXAMPLES / name, folder)
    port = free_port()
    file = folder / "lab.yaml"
    text = file.read_text()
    assert text.count("9090") == 1, "the port is written once"
    file.write_text(text.replace("9090", str(port)))
    prepare(folder)
    lab.run("config", "update", "lab.yaml", cwd=folder)
    result = lab.run("up", cwd=Path("/"), check=False)
    assert result.returncode == 0 or SLOW_DRIVER in result.text, result.text
    # A daemon that a busy nameserver does not answer runs before it has its names there.
    wait_for(lambda: lab.run("status", check=False).returncode == 0, NEVER, "all is well")
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
            # The monitor calls meanwhile.
            lab.run(step, "daemon", "bench", *(["--force"] if step == "stop" else []))
            assert next(line for line in monitor.stdout if words in line), "it reads on"
    finally:
        monitor.kill()
        monitor.communicate()


def test_the_microscope(lab):
    folder, port = up(lab, "microscope")
    environment = lab.environment() | {"PYTHONPATH": str(TESTS.parent / "python")}
    scan = [interpreter(), "scan.py", "--to", "1", "--frames", "3"]
    rows = subprocess.run(scan, cwd=folder, env=environment, capture_output=True, text=True, timeout=NEVER)
    assert rows.stdout == "".join(f"{mm} mm: 2000 at 32,24\n" for mm in (0.0, 0.5, 1.0)), rows.stderr
    camera = f"""
import Pyro5.api, serpent
with Pyro5.api.Proxy("PYRONAME:scope.camera@localhost:{port}") as camera:
    frame = serpent.tobytes(camera.frame())
    print(len(frame), sum(serpent.tobytes(each) == frame for each in camera.frames(3)))
"""
    stock = subprocess.run([interpreter(), "-c", camera], env=environment, capture_output=True, text=True, timeout=NEVER)
    assert stock.stdout == f"{64 * 48 * 2} 3\n", stock.stderr
    # A scan that dies during a move: the stage stops on its way.
    scan = subprocess.Popen([interpreter(), "scan.py", "--from", "50", "--frames", "1"], cwd=folder, env=environment)

    def position():
        return float(lab.run("call", "scope.stage", "position").stdout)

    def rests():
        return lab.run("logs", "show", "--service", "scope.stage").stdout.count("brought to rest")

    rests_before = rests()
    try:
        wait_for(lambda: position() > 1.5, 60, "the stage moves")
    finally:
        scan.kill()
        scan.wait()
    wait_for(lambda: rests() > rests_before, 60, "it runs its safe state")
    wait_for(lambda: position() == position(), 60, "the stage stands still")


def test_the_instrument_of_pymeasure(lab):
    python = os.environ.get("FERROLAB_TEST_PYMEASURE") or os.environ.get("FERROLAB_TEST_LIBRARIES")
    if not python:
        pytest.skip("only with `cargo xtask test`, which installs pymeasure")

    def with_python(folder):
        file = folder / "lab.yaml"
        file.write_text(file.read_text().replace("venv/bin/python", python))

    folder, port = up(lab, "pymeasure", with_python)
    ramp = (folder / "ramp.py").read_text().replace("9090", str(port))
    said = subprocess.run([interpreter(), "-c", ramp], capture_output=True, text=True, timeout=NEVER)
    assert [line.split(":")[0] for line in said.stdout.splitlines()] == ["0.0 V", "0.5 V", "1.0 V"], said.stderr


@pytest.mark.parametrize("name", [folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()])
def test_every_file_of_the_example_is_named_on_its_page(name):
    page = (EXAMPLES / name / "README.md").read_text()
    for file in (EXAMPLES / name).iterdir():
        if file.is_file() and file.name != "README.md":
            assert file.name in page
