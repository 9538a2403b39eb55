"""A lab goes to a second host: `config export --portable` there, `config import` here.

Each host is a home and a folder. The driver needs a package that only its environment has.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import zipfile

import pytest
from harness import free_port, new_lab
from harness.lab import interpreter

DRIVER = """\
from ._names import label
import labwidget
from Pyro5.api import expose

@expose
class Laser:
    def __init__(self, address, password):
        self.address, self.password = address, password
    def identify(self):
        return [label, labwidget.VERSION, self.address, self.password]
"""
CONFIGURATION = """\
# The password is hunter2.
nameservers: {local: {host: localhost, ns_port: $ns_port, storage: "sql:$folder/names.db"}}
python: {executable: "$folder/venv/bin/python", path: ["$folder/drivers"]}
daemons: {bench: {host: localhost, port: $port, nameservers: [local]}}
services:
  lab.laser:
    module: laser_drivers.laser
    classname: Laser
    daemon: bench
    nameservers: [local]
    instancemode: single
    arguments: {address: "5", password: hunter2}
  lab.meter: {native: simulated.multimeter, daemon: bench}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
NEEDS = "labwidget==1.2"


def make_wheel(folder):
    """A package as pip installs it."""
    wheel = folder / "labwidget-1.2-py3-none-any.whl"
    head = "labwidget-1.2.dist-info/"
    files = {
        "labwidget.py": "VERSION = '1.2'\n",
        head + "METADATA": "Metadata-Version: 2.1\nName: labwidget\nVersion: 1.2\n",
        head + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, head + "RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, head + "RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


def make_environment(folder):
    # The driver's Pyro5 is the tests' own.
    subprocess.run([interpreter(), "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    found = subprocess.run(
        [interpreter(), "-c", "import Pyro5, serpent; print(Pyro5.__path__[0], serpent.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    (site / "Pyro5").symlink_to(found[0])
    (site / "serpent.py").symlink_to(found[1])
    return folder / "bin/python"


def install(python, wheel):
    command = [interpreter(), "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def hosts():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(new_lab()) for _ in range(2)]


def told(lab, *options, file="lab-to-go.yaml"):
    """The exit code of an import, and its JSON."""
    done = lab.run("config", "import", lab.files / file, *options, "--json", check=False)
    return done.returncode, json.loads(done.stdout)


def kinds(shown):
    return [(row["kind"], row["is_missing"]) for row in shown["shortcomings"]]


def test_a_lab_goes_to_a_second_host(hosts):
    first, second = hosts
    ports = {"ns_port": free_port(), "port": free_port()}
    for name, text in {"laser.py": DRIVER, "_names.py": "label = 'laser'\n", "__init__.py": ""}.items():
        first.write(text.replace("$", "$$"), f"drivers/laser_drivers/{name}")
    wheel = make_wheel(first.folder)
    install(make_environment(first.files / "venv"), wheel)
    first.config(CONFIGURATION, folder=first.files, **ports)

    # The file for the other host.
    go = second.files / "lab-to-go.yaml"
    shown = first.run("config", "export", "--portable", go)
    text = go.read_text()
    assert str(first.files) not in text.partition("portable:")[0] and "hunter2" not in text + shown.text
    for kept in ["executable: venv/bin/python", "path: [drivers]", '"sql:names.db"', NEEDS]:
        assert kept in text, text
    for said in ["services.lab.laser.arguments.password", NEEDS, f"{ports['port']}", str(first.files)]:
        assert said in shown.stdout, shown.stdout
    told_as_json = json.loads(first.run("config", "export", "--portable", go, "--json").stdout)
    assert told_as_json["left_out"] == ["services.lab.laser.arguments.password"]
    assert [row["needs"][:1] + row["services"] for row in told_as_json["packages"]] == [[NEEDS, "lab.laser"]]
    assert first.run("config", "export", "--portable").stdout == text, "to standard output, and twice the same"

    # The second host lacks everything, and says so before it changes anything.
    code, shown = told(second)
    missing = {row["kind"]: row for row in shown["shortcomings"]}
    assert code == 1 and set(missing) >= {"secret", "interpreter", "file"}, shown
    assert f"-m venv {second.files}/venv && " in missing["interpreter"]["advice"]
    assert f"-m pip install '{NEEDS}'" in missing["interpreter"]["advice"]
    python = make_environment(second.files / "venv")
    code, shown = told(second)
    missing = {row["kind"]: row for row in shown["shortcomings"]}
    assert code == 1 and set(missing) == {"secret", "package", "driver", "file"}, shown
    assert missing["package"]["advice"] == f"{python} -m pip install '{NEEDS}'"
    assert missing["driver"]["advice"].startswith(f"copy {first.files} of ")
    shutil.copytree(first.files / "drivers", second.files / "drivers")
    install(python, wheel)
    with socket.create_server(("127.0.0.1", ports["ns_port"])):
        go.write_text(text.replace("password: null", "password: mine"))
        code, shown = told(second)
        assert code == 1 and kinds(shown) == [("port", True)], shown
        people = second.run("config", "import", go, check=False)
        assert people.returncode == 1 and "Nothing was changed." in people.stdout
        assert "stop that program, or change `ns_port`" in people.stdout
        assert not (second.home / "config.yaml").exists()

    # Nothing is missing any more: the lab runs here, with what was filled in.
    second.config("daemons: {before: {}}\n", name="before.yaml")
    code, shown = told(second)
    assert code == 0 and kinds(shown | {"shortcomings": shown.get("shortcomings", [])}) == [], shown
    assert "before" in (second.home / "config.yaml.previous").read_text(), "the version before is kept"
    second.up()
    with second.proxy("lab.laser") as laser:
        assert laser.identify() == ["laser", "1.2", "5", "mine"]
    # Ports of the lab that runs are no other program's.
    assert told(second)[0] == 0
    second.down()

    # And back: what comes out there is what came in.
    back = second.run("config", "export", "--portable").stdout
    same = ("nameservers:", "portable:")
    cut = [part.partition(same[0])[2].partition(same[1])[0] for part in (back, text)]
    assert cut[0] == cut[1]


@pytest.mark.parametrize(
    "module, files",
    [
        ("laser.laser", {"laser/laser.py": "from ._names import label\n", "laser/_names.py": "import labwidget\n"}),
        # A longer chain of imports than the stack of Python.
        ("m0", {f"m{number}.py": f"import m{number + 1}\n" for number in range(1500)} | {"m1500.py": "import labwidget\n"}),
        ("a.b", {"a/b.py": "from .... import c\nimport labwidget\n"}),
    ],
    ids=["a module with its package's name", "a chain", "too far up"],
)
def test_needs_are_found_through_the_drivers_own_files(lab, module, files):
    for name, text in files.items():
        lab.write(text, f"drivers/{name}")
    install(make_environment(lab.files / "venv"), make_wheel(lab.folder))
    services = "services: {lab.laser: {module: $module, classname: Laser, daemon: bench}}\n"
    text = CONFIGURATION.partition("services:")[0] + services
    lab.config(text, folder=lab.files, ns_port=free_port(), port=free_port(), module=module)
    told_as_json = json.loads(lab.run("config", "export", "--portable", lab.files / "go.yaml", "--json").stdout)
    assert [row["needs"] for row in told_as_json["packages"]] == [[NEEDS]], told_as_json


def test_another_version_is_told_and_no_obstacle(hosts):
    first, second = hosts
    python = interpreter()
    lab = 'python: {executable: "$python"}\ndaemons: {bench: {}}\n' + (
        "services: {lab.a: {module: pyrolab.drivers.sample, classname: SampleService, daemon: bench}}\n"
    )
    first.config(lab)
    text = first.run("config", "export", "--portable").stdout
    assert "pyrolab==" in text
    for needs, expected in [("pyrolab==0.0.1", [("package", False)]), ("no-such-package", [("package", True)])]:
        (second.files / "lab-to-go.yaml").write_text(
            text.partition("portable:")[0] + f"portable: {{packages: [{{services: [lab.a], needs: [{needs}]}}]}}\n"
        )
        code, shown = told(second)
        assert kinds(shown) == expected and code == int(expected[0][1])
        assert shown["shortcomings"][0]["advice"] == f"{python} -m pip install '{needs}'"
    code, shown = told(second, "--force")
    assert code == 0 and kinds(shown) == [("package", True)] and (second.home / "config.yaml").exists()


def test_a_hostile_or_damaged_file_changes_nothing(hosts):
    first, second = hosts
    first.config("daemons: {bench: {}}\nservices: {lab.meter: {native: simulated.multimeter, daemon: bench}}\n")
    text = first.run("config", "export", "--portable").stdout
    go = second.files / "lab-to-go.yaml"
    hostile = {
        "a command as a package": (text + "", "packages: []", 'packages: [{needs: ["a; touch OWNED"]}]'),
        "an unknown key": (text, "left_out", "leftout"),
        "a text instead of a list": (text, "left_out: []", "left_out: all"),
        "a second document": (text + "---\nx: 1\n", "", ""),
        "a constructor": (text, "left_out: []", "left_out: !!python/object:os.system []"),
    }
    for what, (whole, old, new) in hostile.items():
        go.write_text(whole.replace(old, new))
        done = second.run("config", "import", go, check=False)
        assert done.returncode == 1 and "lab-to-go.yaml" in done.stderr, (what, done.text)
        assert "panicked" not in done.text and not (second.home / "config.yaml").exists(), what
    # A file that was cut is refused, or is a smaller lab that says what it is.
    body = text.encode()
    for end in range(0, len(body), max(1, len(body) // 12)):
        go.write_bytes(body[:end])
        done = second.run("config", "check", go, check=False)
        assert done.returncode in (0, 1) and "panicked" not in done.text
    # No text of the file moves a terminal's cursor.
    odd = '\\e[2Jgone'
    go.write_text(
        f'python: {{executable: "/x/{odd}/bin/python"}}\ndaemons: {{bench: {{}}}}\n'
        f"services: {{lab.a: {{module: m, classname: C, daemon: bench}}}}\n"
        f'portable: {{folder: "{odd}", host: "{odd}", left_out: ["{odd}"], '
        'packages: [{services: [lab.a], needs: [a==1]}]}\n'
    )
    done = second.run("config", "import", go, check=False)
    assert done.returncode == 1 and "\x1b" not in done.text and "gone" in done.stdout, done.text
    assert "'/x/" in done.stdout, "what is pasted into a shell is one word"


def test_without_a_configuration_there_is_no_export(lab):
    refused = lab.run("config", "export", "--portable", check=False)
    assert refused.returncode == 1 and "there is no configuration yet" in refused.stderr
