"""`ferrolab demo`: what it prints works when pasted, and Ctrl-C leaves nothing behind."""

import os
import re
import signal
import socket
import textwrap
import threading

import Pyro5.api
import pytest
from harness import NEVER, free_port, new_lab, wait_for
from harness.lab import interpreter
from harness.web import Page

NAMESERVER = "Pyro.NameServer"
# A demo takes the usual port where it can: two that start in the same instant could both want it.
pytestmark = pytest.mark.xdist_group("demo")
COMMAND = re.compile(r"\s*(\$ )?((env|\w+=\S+) )*\S*ferrolab['\"]? (\S+ )*call ")


class Demo:
    """`ferrolab demo` in the foreground, and what it has printed so far."""

    def __init__(self, lab):
        self.lab = lab
        self.process = lab.start("demo")
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def diagnosis(self):
        return f"{self.text}\n{self.lab.diagnosis()}"

    @property
    def text(self):
        return "\n".join(self.lines)

    def snippet(self):
        """The Python snippet: from its first import to the end of its indented block."""
        block = []
        for line in self.lines:
            if not block:
                if re.match(r"\s*(from|import) \w", line):
                    block.append(line)
            elif line.strip() and (indent(line) < indent(block[0]) or COMMAND.match(line)):
                break
            elif not line.strip() and indent(block[0]) == 0:
                break
            else:
                block.append(line)
        return textwrap.dedent("\n".join(block)).strip()

    def command(self):
        """The shell command: the line that calls a service."""
        for line in self.lines:
            if COMMAND.match(line):
                return line.strip().removeprefix("$ ")
        return ""

    def wait_until_ready(self):
        def ready():
            assert self.process.poll() is None, self.text
            return self.command() and self.snippet()

        wait_for(ready, 60, "the demo prints a snippet and a command")
        # The snippet may still be coming: what it prints last is how to stop it.
        wait_for(lambda: re.search(r"(?i)ctrl.?c", self.text), 10, "the demo says how to stop it")

    def run(self, *words):
        """Runs a program as a person would who pastes into another terminal."""
        process = self.lab.start(*words[1:], program=words[0])
        text, _ = process.communicate(timeout=NEVER)
        assert process.returncode == 0, f"{words}: {text}\nthe demo: {self.text}"
        return text

    def names(self):
        """The services that the demo's nameserver knows."""
        port = int(re.search(r"\b\d{4,5}\b", self.snippet())[0])
        with Pyro5.api.locate_ns("localhost", port) as nameserver:
            names = nameserver.list()
        # Services have dotted names; daemons, which register themselves too, have plain ones.
        return [name for name in names if "." in name and name != NAMESERVER]


def indent(line):
    return len(line) - len(line.lstrip())


@pytest.fixture(scope="module")
def demo():
    with new_lab() as lab:
        demo = Demo(lab)
        demo.wait_until_ready()
        yield demo


def test_the_snippet_works_when_pasted(demo):
    assert demo.run(interpreter(), "-c", demo.snippet()).strip(), demo.snippet()


def test_the_command_works_when_pasted(demo):
    assert demo.run("/bin/sh", "-c", demo.command()).strip(), demo.command()


def test_it_prints_the_names_of_its_services(demo):
    services = demo.names()
    assert len(services) >= 3, services
    for name in services:
        assert name in demo.text


def test_it_prints_the_link_of_its_page(demo):
    link = re.search(r"The page: (http://localhost:\d+/)", demo.text)[1]
    shown = lambda: {row["name"] for row in Page(link).get("/api/lab")["services"] if row["state"] == "running"}
    wait_for(lambda: shown() >= set(demo.names()), NEVER, "the page shows the services")


def test_the_port_can_be_chosen(demo, lab):
    port = free_port()
    assert f"at PYRO:demo.supply@" in lab.run("demo", "--check", "--port", port).stdout
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = lab.run("demo", "--check", "--port", port, check=False)
    assert refused.returncode == 1 and f"listens on port {port} already" in refused.stderr
    lab.assert_nothing_left(timeout=2, what="a demo that cannot start leaves nothing")


def test_check_calls_every_service_and_says_what_it_got(demo, lab):
    result = lab.run("demo", "--check")
    for name in demo.names():
        assert name in result.stdout, result.text
    lab.assert_nothing_left(timeout=2, what="`demo --check` ends with everything it started")


@pytest.mark.parametrize("whom", ["the whole group, as a terminal does", "the demo alone"])
def test_ctrl_c_stops_everything(lab, whom):
    demo = Demo(lab)
    demo.wait_until_ready()
    if whom == "the demo alone":
        os.kill(demo.process.pid, signal.SIGINT)
    else:
        os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(timeout=NEVER) in (0, 130, -signal.SIGINT), demo.text
    lab.assert_nothing_left(timeout=2, what="Ctrl-C stops all that the demo started")


def test_a_killed_demo_leaves_nothing(lab):
    demo = Demo(lab)
    demo.wait_until_ready()
    demo.process.kill()
    lab.assert_nothing_left(timeout=3, what="what the demo started ends with it")


def test_two_demos_do_not_meet(demo, lab):
    """No fixed port: a second person on the same machine tries it too."""
    second = Demo(lab)
    second.wait_until_ready()
    assert second.run(interpreter(), "-c", second.snippet()).strip()
    assert demo.run("/bin/sh", "-c", demo.command()).strip()
