"""Every command of the guide, as a reader would run it, page by page.

In the pages a block of `sh` is run line by line, and each line must end with 0; a block of another
language with a file's name after it is that file. Blocks of `text` are for reading only.
"""

import re
import subprocess

import pytest
from harness import NEVER, free_port, wait_for
from harness.lab import SLOW_DRIVER, TESTS, interpreter

DOCS = TESTS.parent / "docs"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALL_LAB = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {bench: {host: localhost}}
services: {lab.meter: {native: simulated.multimeter, daemon: bench, nameservers: [local]}}
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def wait_until_all_serves(lab):
    """As `up` does, which returns early on a busy machine, without drivers or names."""
    lab.wait_until_loaded()
    known = lambda: not any("nameserver" in (row["error"] or "") for row in lab.ps()["daemons"])
    wait_for(known, NEVER, "the nameservers have the names")


def run_page(lab, name, ns_port, section=None, **variables):
    """Runs a page, or one section of it; returns what its commands have printed."""
    said = []
    environment = lab.environment() | variables
    page = (DOCS / name).read_text()
    if section:
        page = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        assert page, f"{name} has no section {section}"
    for language, file, text in BLOCK.findall(page):
        for variable, value in {"NS_PORT": str(ns_port), **variables}.items():
            text = text.replace(f"${variable}", value)
        if file and file != "cell":
            (lab.files / file).write_text(text)
        elif language == "sh":
            for line in text.splitlines():
                done = subprocess.run(
                    ["/bin/sh", "-ec", line], cwd=lab.files, env=environment, capture_output=True, text=True, timeout=NEVER
                )
                is_up = line.split()[:2] == ["ferrolab", "up"]
                is_slow = is_up and SLOW_DRIVER in done.stdout + done.stderr
                assert done.returncode == 0 or is_slow, f"{name}: {line}\n{done.stdout}{done.stderr}"
                said.append(done.stdout)
                if is_up:
                    wait_until_all_serves(lab)
    return "".join(said)


def test_getting_started(lab):
    said = run_page(lab, "getting-started.md", free_port())
    for words in ("lab.lamp", "lamp on COM4 at 70 %", "refused: the level must be from 0 to 100", "The lab is down."):
        assert words in said, said


def test_arrays(lab):
    said = run_page(lab, "arrays.md", free_port(), PYTHONPATH=str(TESTS.parent / "python"))
    for words in ("uint16 (4, 6)", "[23, 24, 25]", "[0, 1, 2, 3, 4, 5]\n[0 1 2 3 4 5]"):
        assert words in said, said


def test_audit(lab):
    said = run_page(lab, "audit.md", free_port())
    for words in ("voltage = 3.3", "lines are as they were written"):
        assert words in said, said


def test_servers(lab):
    said = run_page(lab, "servers.md", free_port())
    for words in (
        "threaded, 4 callers: 4 at once\nmultiplexed, 8 callers: 1 at once\n",
        "rejected: no free workers, increase server threadpool size\none has left",
        "PYRO:mode.single 1 2 3 4\nPYRO:mode.session 1 2 1 2\nPYRO:mode.percall 1 1 1 1\n",
    ):
        assert words in said, said


def test_tls(lab):
    said = run_page(lab, "tls.md", free_port())
    assert "Authority: Ferrolab authority" in said and "localhost" in said, said
    assert said.count("['lab.supply']") == 5, said
    assert "takes TLS connections only" in said, said


def test_users(lab):
    said = run_page(lab, "access.md", free_port(), "Who")
    assert "ferrolab login localhost:" in said and "optics" in said, said
    assert said.count("locked by ada") == 2, said
    assert "removed: ada (0 logins withdrawn)" in said, said


def test_card(lab):
    said = run_page(lab, "card.md", free_port())
    for words in (
        "lab.yaml is fine",
        "ramp(to: float [K, 4 to 320], minutes: float [min, at least 1] = 10, *, mode: Literal['linear', 'steps'] = 'linear')",
        "float K, 4 to 310",
        "set_current(amperes [A, 0 to 1.5])",
        "300 K in 5 minutes",
        "float V, 0 to 12",
        "class Heater:",
    ):
        assert words in said, said


def test_who_can_do_what(lab):
    said = run_page(lab, "access.md", free_port(), "Grants")
    for words in (
        "allowed: bob, from another host: set lab.supply.voltage, while holding the lock",
        "refused: anonymous, from another host: set lab.supply.voltage",
        "Changed without a restart: daemon bench, nameserver local",
    ):
        assert words in said, said


def test_values(lab):
    said = run_page(lab, "values.md", free_port())
    for words in (
        "lab.yaml is fine",
        "lab.cryostat  temperature",
        '"unit": "K"',
        "lab.cryostat.temperature ",
        '"deadband": "0.05"',
        "lab.cryostat  pressures.inner",
        "lab.cryostat.temperature in K",
        "time,value,quality",
        "week.parquet: ",
    ):
        assert words in said, said


def test_an_emergency_stop(lab):
    said = run_page(lab, "locking.md", free_port(), "Nobody leaves it burning")
    assert "aborted: lab.stage (stop() called)" in said, said
    scan = (lab.files / "scan.txt").read_text()
    assert "stopped at" in scan and "it hits the lens" in scan, scan


def test_web(lab):
    said = run_page(lab, "web.md", free_port(), WEB_PORT=str(free_port()))
    for words in ('"name":"lab.meter"', '{"value":0.0}', '{"result":', "must be 0 to 30 volts", '"user":"ada"', "measure_voltage"):
        assert words in said, said


def test_metrics(lab):
    said = run_page(lab, "metrics.md", free_port(), WEB_PORT=str(free_port()))
    assert 'ferrolab_value{service="lab.supply",member="voltage",unit="V"} 7' in said, said


def test_alarms(lab):
    said = run_page(lab, "alarms.md", free_port())
    for words in (
        "All 3 alarm(s) are ok.",
        "alarm lab.supply.voltage: it fires (above 5), with 7.0 V: The sample takes 5 V",
        "acknowledged: lab.supply.voltage",
        "I am looking at it",
    ):
        assert words in said, said


def test_services(lab):
    said = run_page(lab, "services.md", free_port())
    for words in ("lab.yaml is fine", "Bench supply, 30 V", "lab.meter is lab.dmm now", "3.3\n"):
        assert words in said, said


def test_client(lab):
    said = run_page(lab, "client.md", free_port(), PYTHONPATH=str(TESTS.parent / "python"))
    for words in ("['lab.meter', 'lab.supply']", "\n5.0\n", "no answer in time: unknown", "owner ", "['lab.meter', 'lab.supply']", "\n2.0\n"):
        assert words in said, said


# A notebook runs cells one after the other, and `await` works in each.
CELLS = """
import ast, asyncio, inspect, sys
names = {}
async def notebook():
    for cell in sys.stdin.read().split("\\0"):
        code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    return names
asyncio.run(notebook())
print(names["rows"], len(names["readings"]), names["supply"].voltage)
"""


def test_notebooks(lab):
    page = (DOCS / "notebooks.md").read_text()
    cells = [text for language, file, text in BLOCK.findall(page) if file == "cell"]
    environment = {"PYTHONPATH": str(TESTS.parent / "python")}

    def run_cells():
        return subprocess.run(
            [interpreter(), "-c", CELLS],
            input="\0".join(cells),
            env=lab.environment() | environment,
            capture_output=True,
            text=True,
            timeout=NEVER,
        )

    # The last line takes the lab down.
    (lab.files / "page.md").write_text(page.rsplit("```sh", 1)[0])
    run_page(lab, lab.files / "page.md", free_port(), **environment)
    said = run_cells()
    assert "refused: voltage must be 0 to 30 volts" in said.stdout, said.stderr
    assert said.stdout.endswith("] 5 1.5\n") and said.stdout.count("(") == 3, said


@pytest.mark.parametrize("page", ["deployment.md", "troubleshooting.md"])
def test_pages_for_a_running_lab(lab, page):
    ns_port = free_port()
    lab.config(SMALL_LAB, ns_port=ns_port)
    lab.up()
    wait_until_all_serves(lab)
    run_page(lab, page, ns_port)


def test_pages_link_to_pages_that_are_there():
    anchors = {page.name: {slug(h) for h in re.findall(r"^#+ (.*)$", page.read_text(), re.M)} for page in DOCS.glob("*.md")}
    for page in DOCS.glob("*.md"):
        for target, anchor in re.findall(r"\]\(([\w.-]*)#?([\w-]*)\)", page.read_text()):
            target = target or page.name
            assert target in anchors, f"{page.name}: {target}"
            assert not anchor or anchor in anchors[target], f"{page.name}: {target}#{anchor}"


def slug(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_command_of_pyrolab_has_its_row(lab):
    """And every flag of it."""
    page = (DOCS / "moving-from-pyrolab.md").read_text()
    import typer
    from pyrolab.cli import app

    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `pyrolab")]

    def leaves(command, path):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path, command
        for name, child in (inner or {}).items():
            yield from leaves(child, [*path, name])

    root = typer.main.get_command(app)
    for path, command in [([], root), *leaves(root, [])]:
        # `start nameserver` and `daemon` share a row.
        begin = "| `pyrolab " + (path[0] if path else "-")
        own = [row for row in rows if row.startswith(begin) and all(word in row for word in path[1:])]
        assert own, path
        for option in command.params:
            flags = [flag for flag in option.opts if flag.startswith("-")]
            if flags and option.name != "help":
                assert any(flag in row for flag in flags for row in own), (path, flags)
    for ours in re.findall(r"\| `ferrolab ([a-z]+)", page):
        assert lab.run(ours, "--help").returncode == 0, ours
