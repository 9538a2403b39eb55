"""A client of a lab's page: requests over HTTP, and the events of its stream."""

import contextlib
import http.client
import json
import queue
import ssl
import subprocess
import threading
import urllib.parse

from .wait import NEVER, wait_for

# A visitor may look, and the user ada may drive: after her login.
LAB_WITH_USERS = """\
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {classname: LockableDaemon, nameservers: [local]}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
access:
  localhost: view
  grants: [{who: ada, what: "lab.*", role: operate}]
  users: [ada]
web: {port: 0}
"""


class Answer:
    """The answer to a request."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:500]!r}>"


class Event:
    """An event of the stream."""

    def __init__(self, fields):
        self.id, self.kind = fields.get("id"), fields.get("event")
        self.data = json.loads(fields.get("data", "null"))

    def __repr__(self):
        return f"<{self.kind} {self.id} {self.data}>"


class Page:
    """The page of a lab, as one browser sees it: it keeps the server's cookie."""

    def __init__(self, uri, authority=None):
        address = urllib.parse.urlsplit(uri)
        self.host, self.port = address.hostname, address.port
        self.cookie = None
        self.source = None
        # The certificate that the page is trusted by, where it speaks HTTPS.
        self.tls = ssl.create_default_context(cafile=authority) if authority else None

    @classmethod
    def of(cls, lab):
        """The page of a lab, once it runs."""
        return cls(lab.wait_for_status("processes", "web", "running")["uri"])

    @classmethod
    def from_elsewhere(cls, uri, authority=None):
        """A public page as another host sees it: the client's address is not that of the server."""
        page = cls(uri, authority)
        page.source, page.host = (page.host, 0), "127.0.0.1"
        return page

    def connection(self):
        kind, tls = http.client.HTTPConnection, {}
        if self.tls:
            kind, tls = http.client.HTTPSConnection, {"context": self.tls}
        return kind(self.host, self.port, timeout=NEVER, source_address=self.source, **tls)

    def request(self, method, path, body=None, headers=None):
        """Sends a request as it is."""
        connection = self.connection()
        sent = dict(headers or {})
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = Answer(connection.getresponse())
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        return answer

    def get(self, path, **headers):
        """Reads JSON; the answer must be 200."""
        answer = self.request("GET", path, headers=headers)
        assert answer.status == 200, answer
        return answer.json

    def change(self, method, path, content):
        """Sends JSON as the page does."""
        headers = {"Content-Type": "application/json", "X-Ferrolab": "1"}
        return self.request(method, path, json.dumps(content).encode(), headers)

    def call(self, service, member, *args, **kwargs):
        """Calls a method; the answer, whatever it is."""
        path = f"/api/services/{service}/call/{member}"
        return self.change("POST", path, {"args": args, "kwargs": kwargs})

    def service(self, name):
        """A service's row in the lab."""
        rows = [row for row in self.get("/api/lab")["services"] if row["name"] == name]
        assert len(rows) == 1, f"{name}: {rows}"
        return rows[0]

    @contextlib.contextmanager
    def stream(self, path="/api/stream", **headers):
        """The event stream, read by a thread."""
        stream = Stream(self, path, headers)
        try:
            yield stream
        finally:
            stream.close()


class Stream:
    """An event stream and what has come from it."""

    def __init__(self, page, path, headers):
        self._connection = page.connection()
        if page.cookie:
            headers.setdefault("Cookie", page.cookie)
        self._connection.request("GET", path, headers=headers)
        self.response = self._connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.seen, self.ticks, self.retry = [], 0, None
        self._events = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        fields = {}
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            for line in self.response:
                line = line.decode().rstrip("\n")
                name, _, value = line.partition(":")
                if not line and "event" in fields:
                    event, fields = Event(fields), {}
                    if event.kind == "tick":
                        self.ticks += 1
                    else:
                        self._events.put(event)
                elif name == "retry":
                    self.retry = int(value)
                elif line:
                    fields[name] = value.strip()
        self._events.put(None)

    def next(self, wanted, what):
        """The next event for which `wanted(event)` is true."""
        while True:
            event = self._events.get(timeout=NEVER)
            assert event is not None, f"the stream ended before {what}; seen: {self.seen}"
            self.seen.append(event)
            if wanted(event):
                return event

    def so_far(self):
        """All events that have come until the next sign of life."""
        self.wait_for_tick()
        with contextlib.suppress(queue.Empty):
            while True:
                self.seen.append(self._events.get_nowait())
        return [event for event in self.seen if event is not None]

    def wait_until_ended(self):
        """Waits for the end of the stream."""
        while self._events.get(timeout=NEVER) is not None:
            pass

    def wait_for_tick(self):
        """Waits for a sign of life."""
        count = self.ticks
        wait_for(lambda: self.ticks > count, NEVER, "a tick of the stream")

    def close(self):
        with contextlib.suppress(OSError):
            self._connection.sock and self._connection.sock.shutdown(2)
        self._connection.close()
        self._reader.join(NEVER)


def user_token(lab, user):
    """The token of a user who logs in on another machine."""
    code = lab.run("user", "add", user).stdout.split()[-1]
    home = lab.folder / user
    home.mkdir(mode=0o700)
    done = subprocess.run(
        [lab.binary, "login", f"localhost:{lab.ns_port}", code, "--json"],
        env=lab.environment() | {"FERROLAB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=NEVER,
    )
    assert done.returncode == 0, done.stderr
    with open(json.loads(done.stdout)["token"]) as file:
        return file.read().strip()
