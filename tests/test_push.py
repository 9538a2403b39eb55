"""Values for databases: what is sent, what a refusal does, and that nothing is lost meanwhile."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import NEVER, free_port, wait_for

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
history: {}
push: {url: "http://127.0.0.1:$port/write?db=lab", token: $token, every: 200ms, match: ["*.count"]}
daemons: {bench: {}}
services:
  lab.ticker:
    module: ticker
    classname: Ticker
    daemon: bench
    instancemode: single
    members: {count: {poll: 100ms}, other: {poll: 100ms}}
autolaunch: {daemons: [bench]}
"""
TOKEN = "tk_secret"


class Database:
    """A web server that takes lines, and refuses what a test wants."""

    def __init__(self, port=0):
        self.lines, self.headers, self.refuse = [], [], lambda line: None
        self.refused = []
        database = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                lines = body.splitlines()
                status = database.answer(lines)
                if status != 204:
                    database.refused += lines
                else:
                    database.lines += lines
                    database.headers.append((self.path, self.headers.get("Authorization")))
                answer = b"" if status == 204 else b"unable to parse a line"
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, lines):
        """The status for a request."""
        return next((status for status in map(self.refuse, lines) if status), 204)

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def counts(self):
        return counts_in(self.lines)

    def wait(self, count):
        wait_for(lambda: count in self.counts(), NEVER, f"value {count}: {self.counts()[-5:]}")
        return self.counts()


def counts_in(lines):
    return [int(re.search(r"value=(\d+) ", line)[1]) for line in list(lines)]


@pytest.fixture
def database():
    database = Database()
    yield database
    database.close()


def start(lab, port):
    lab.config(CONFIGURATION, port=port, token=TOKEN)
    lab.up()


def last(lab):
    """The last value that the instrument had."""
    with lab.proxy("lab.ticker") as ticker:
        return ticker.last()


def without_gap(counts):
    return list(range(counts[0], counts[-1] + 1))


def problems(lab):
    status = json.loads(lab.run("status", "--json", check=False).stdout)
    return " ".join(finding["problem"] for finding in status["findings"])


def test_lines_have_names_and_times_and_the_token_is_sent(lab, database):
    start(lab, database.port)
    counts = database.wait(20)
    assert counts == without_gap(counts)
    assert re.fullmatch(r"ferrolab,host=\S+,member=count,service=lab.ticker value=\d+ \d{19}", database.lines[0])
    assert set(database.headers) == {("/write?db=lab", f"Token {TOKEN}")}
    for file in lab.home.rglob("logs/*"):
        assert TOKEN not in file.read_text(errors="replace"), file


def test_a_line_that_is_refused_holds_up_no_other(lab, database):
    database.refuse = lambda line: 400 if re.search(r"value=(27|28) ", line) else None
    start(lab, database.port)
    counts = database.wait(40)
    assert counts == [count for count in without_gap(counts) if count not in (27, 28)]
    wait_for(lambda: "2 value(s) were refused" in problems(lab), NEVER, "status tells of it")
    assert "unable to parse a line" in problems(lab)


def test_series_that_are_always_refused_hold_up_no_other(lab):
    port = free_port()
    services = "".join(
        f"  lab.{name}: {{module: ticker, classname: Ticker, daemon: bench, instancemode: single, members: {{count: {{poll: 100ms}}}}}}\n"
        for name in ("anna", "berta")
    )
    text = CONFIGURATION.replace(', match: ["*.count"]', "").replace("services:\n", f"services:\n{services}")
    lab.config(text, port=port, token=TOKEN)
    lab.up()
    # More than a target may refuse of one series at a time.
    for name in ("lab.anna", "lab.berta", "lab.ticker"):
        with lab.proxy(name) as ticker:
            wait_for(lambda: ticker.last() > 50, NEVER, "values that wait")
    database = Database(port)
    database.refuse = lambda line: 400 if "member=count" in line else None
    try:
        wait_for(lambda: len(database.lines) > 50, NEVER, "values of the other series")
        assert all("member=other" in line for line in database.lines)
        wait_for(lambda: "were refused and left out" in problems(lab), NEVER, "status says so")
        assert ".count)" in problems(lab)
    finally:
        database.close()


@pytest.mark.parametrize(
    "status, told", [(401, "its answer is 401 Unauthorized"), (400, "it refuses every value: 400")]
)
def test_a_refusal_of_all_is_told_and_everything_waits(lab, database, status, told):
    database.refuse = lambda line: status
    start(lab, database.port)
    wait_for(lambda: f"`push` to 127.0.0.1: {told}" in problems(lab), NEVER, "status tells of it")
    waiting = last(lab) + 30
    wait_for(lambda: last(lab) > waiting, NEVER, "values that wait")
    is_well = threading.Event()

    def answer(lines):
        # From the begin of a round on: after refusals in the same one they count as the lines' own.
        if len(lines) > 20:
            is_well.set()
        return 204 if is_well.is_set() else status

    database.answer = answer
    counts = database.wait(waiting + 5)
    assert counts[0] == min(counts_in(database.refused)) and counts == without_gap(counts)
    wait_for(lambda: "`push`" not in problems(lab), NEVER, "all is well")


def test_what_a_database_refuses_that_took_values_before_waits_even_if_it_is_little(lab, database):
    is_refusing = threading.Event()

    def refuse_all(lines):
        # From a request with both series on: a line of one alone is left out.
        if {"count", "other"} <= {re.search("member=([a-z]+)", line)[1] for line in lines}:
            is_refusing.set()
        return 400 if is_refusing.is_set() else 204

    # So seldom that few lines wait at the first refusals.
    text = CONFIGURATION.replace("poll: 100ms", "poll: 1s").replace(', match: ["*.count"]', "")
    text = text.replace("every: 200ms", "every: 3s")
    lab.config(text, port=database.port, token=TOKEN)
    lab.up()
    wait_for(lambda: database.lines, NEVER, "a value is taken")
    take_all, database.answer = database.answer, refuse_all
    wait_for(lambda: "it refuses every value: 400" in problems(lab), NEVER, "status tells of it")
    database.answer = take_all

    def taken(member):
        return [line for line in list(database.lines) if f"member={member}," in line]

    refused = max(counts_in(line for line in list(database.refused) if "member=count," in line))
    wait_for(lambda: max(counts_in(taken("count")), default=0) > refused, NEVER, "what waited, and more")
    counts = counts_in(taken("count"))
    assert counts == without_gap(counts)
    others = {line for line in list(database.refused) if "member=other," in line}
    assert others and others <= set(taken("other"))


def test_a_refusal_before_the_first_value_is_taken_ends_no_line(lab, database):
    """A request of one line is refused, and then the database has no time."""
    many, alone = [], []

    def answer(lines):
        # Several lines wait first, so that others are left after the refused one.
        if alone or (not many and len(lines) < 4):
            return 503
        (many if len(lines) > 1 else alone).extend(lines)
        return 400

    take_all, database.answer = database.answer, answer
    start(lab, database.port)
    wait_for(lambda: alone and "its answer is 503" in problems(lab), NEVER, "a line refused alone")
    database.answer = take_all
    counts = database.wait(counts_in(many)[-1] + 5)
    assert counts[0] == counts_in(alone)[0] and counts == without_gap(counts)


def test_values_from_before_the_database_was_there_arrive(lab):
    port = free_port()
    start(lab, port)
    wait_for(lambda: "cannot connect" in problems(lab), NEVER, "status tells of it")
    waiting = last(lab) + 5
    wait_for(lambda: last(lab) > waiting, NEVER, "values that wait")
    database = Database(port)
    try:
        counts = database.wait(waiting + 5)
        assert counts[0] < waiting and counts == without_gap(counts)
    finally:
        database.close()
