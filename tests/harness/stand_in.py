"""A program in the place of the one that a supervisor starts for its nameservers and daemons.

`tee` runs the real one and writes down what both say; `play` says what a daemon once said. A
supervisor starts its children from the file that it was started from itself, so a lab is brought
up with nothing in it from another file, which is then replaced.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
# The first word of a line of a recorded conversation: words to a child or a supervisor, its own
# words, and how a command has ended.
ASKED, SAID, EXITED = "> ", "< ", "= "


def install(lab, mode, *arguments):
    """Brings a lab up without any entry; from now on it starts stand-ins of this `mode`."""
    program, script = lab.folder / "bin" / "ferrolab", lab.folder / "bin" / "new"
    program.parent.mkdir()
    shutil.copy2(lab.binary, program)
    (lab.home / "config.yaml").write_text('version: "1.0"\n')
    real, lab.binary = lab.binary, program
    try:
        lab.up()
    finally:
        lab.binary = real
    words = " ".join(f"'{word}'" for word in (sys.executable, __file__, mode, *arguments))
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o700)
    script.replace(program)


def tee(real, folder, *words):
    """Runs the real program; the conversation is in a file named after its entry."""
    child = subprocess.Popen([real, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    with conversation_file(folder, words).open("w", encoding="utf-8") as file:
        turn = threading.Lock()

        def pass_on(source, target, mark):
            for line in source:
                with turn:
                    file.write(mark + line)
                    file.flush()
                target.write(line)
                target.flush()

        def listen():
            with contextlib.suppress(OSError):
                pass_on(sys.stdin, child.stdin, ASKED)
                child.stdin.close()

        threading.Thread(target=listen, daemon=True).start()
        pass_on(child.stdout, sys.stdout, SAID)
    code = child.wait()
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def play(folder, *words):
    """Says what the recorded child has said, and ends when it is asked to."""
    lines = conversation_file(folder, words).read_text(encoding="utf-8").splitlines()
    said = [line.removeprefix(SAID) for line in lines if line.startswith(SAID)]
    sys.stdin.readline()
    answer_calls(said[0])
    for line in said:
        print(line, flush=True)
    if '"event":"failed"' in said[-1]:
        os._exit(1)
    for line in sys.stdin:
        if line.strip() == "stop":
            break
    os._exit(0)


def answer_calls(ready):
    """Hangs up on every caller of the reported address: to a supervisor that is a sign of life."""
    port = ready.partition('"address":"')[2].partition('"')[0].rpartition(":")[2]
    if not port:
        return
    listener = socket.create_server(("127.0.0.1", int(port)))

    def hang_up():
        while True:
            listener.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()


def conversation_file(folder, words):
    """`words` are those after the program's name: run, the kind, the name."""
    return Path(folder) / f"{words[1]}-{words[2]}.txt"


if __name__ == "__main__":
    {"tee": tee, "play": play}[sys.argv[1]](*sys.argv[2:])
