"""The wheel, installed into a clean virtual environment as a user does it.

`cargo xtask test --wheel` builds it first and names it in FERROLAB_TEST_WHEEL.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

MIB = 1 << 20
WHEEL_LIMIT = 10 * MIB
PROGRAM_LIMIT = 20 * MIB
DRIVER = """
from ferrolab import expose

@expose
class Thermometer:
    def celsius(self):
        import sys
        return [21.5, sys.prefix]
"""
LAB = """
version: "1.0"
daemons: {bench: {host: localhost, port: 0}}
services:
  lab.thermometer: {module: thermometer, classname: Thermometer, daemon: bench}
python: {path: [.]}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture(scope="module")
def wheel():
    path = os.environ.get("FERROLAB_TEST_WHEEL")
    if not path:
        pytest.skip("FERROLAB_TEST_WHEEL is not set: run `cargo xtask test --wheel`")
    return Path(path)


class Installed:
    """A virtual environment that has the wheel and nothing else, and its own home."""

    def __init__(self, wheel, folder):
        self.prefix = folder / "venv"
        self.files = folder / "files"
        self.files.mkdir()
        venv.create(self.prefix, with_pip=True)
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "FERROLAB_HOME": str(folder / "home"),
            "NO_COLOR": "1",
            "TERM": "dumb",
        }
        # The network would hide a dependency that the wheel forgot to name.
        self.run("python", "-m", "pip", "install", "--quiet", "--no-index", wheel)

    def run(self, program, *args, check=True):
        command = [self.prefix / "bin" / program, *args]
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=self.env, cwd=self.files,
        )
        assert not check or result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        return result.stdout.strip()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return Installed(wheel, tmp_path_factory.mktemp("wheel"))


def test_it_is_small_and_runs_on_old_systems(wheel):
    assert re.fullmatch(r"ferrolab-[\d.]+-py3-none-manylinux2014_x86_64\.manylinux_2_17_x86_64\.whl", wheel.name)
    assert wheel.stat().st_size <= WHEEL_LIMIT
    with zipfile.ZipFile(wheel) as files:
        (program,) = [file for file in files.infolist() if "/scripts/" in file.filename]
    assert program.file_size <= PROGRAM_LIMIT


def test_it_holds_the_package_and_the_program_only(wheel):
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        text = files.read(metadata).decode()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("ferrolab-")} == {"ferrolab"}
    assert not [name for name in names if "__pycache__" in name or "test" in name]
    assert "Requires-Dist" not in text
    assert "Requires-Python: >=3.8" in text


def test_program_and_package_are_of_one_version(installed):
    version = "import importlib.metadata as m; print(m.version('ferrolab'))"
    assert installed.run("ferrolab", "--version") == f"ferrolab {installed.run('python', '-c', version)}"


def test_the_demo_works(installed):
    assert "demo" in installed.run("ferrolab", "demo", "--check")


def test_drivers_run_in_the_environment_that_has_the_program(installed):
    (installed.files / "thermometer.py").write_text(DRIVER)
    (installed.files / "lab.yaml").write_text(LAB)
    installed.run("ferrolab", "config", "update", "lab.yaml")
    try:
        installed.run("ferrolab", "up")
        # This lab has no nameserver: the daemon is called by its URI.
        rows = installed.run("ferrolab", "ps", "--json")
        uri = re.search(r"PYRO:lab\.thermometer@[\w.:]+", rows).group()
        answer = installed.run("ferrolab", "call", "--uri", uri, "celsius")
    finally:
        installed.run("ferrolab", "down", check=False)
    assert "21.5" in answer
    assert str(installed.prefix) in answer


def test_the_package_is_importable_without_the_repository(installed):
    place = installed.run("python", "-c", "import ferrolab; print(ferrolab.__file__)")
    assert Path(place).is_relative_to(installed.prefix)


def find_interpreter(version):
    """The path of a Python of this version: in the PATH, or one of pyenv's."""
    found = shutil.which(f"python{version}")
    if found and "/shims/" not in found:
        return found
    return next(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), None)


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13", "3.14"])
def test_other_interpreters_import_it(installed, version, tmp_path):
    interpreter = find_interpreter(version)
    if interpreter is None:
        pytest.skip(f"Python {version} is not here; this is {sys.version.split()[0]}")
    folder = next((installed.prefix / "lib").glob("python3*")) / "site-packages"
    ended = subprocess.run(
        [interpreter, "-B", "-c", "import ferrolab; print(ferrolab.__file__)"],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(folder)},
    )
    assert ended.returncode == 0, ended.stderr
