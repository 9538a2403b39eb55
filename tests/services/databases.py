"""Prometheus and VictoriaMetrics, started by a test and asked over HTTP."""

import json
import signal
import subprocess
import urllib.parse
import urllib.request

from harness import NEVER, free_port, wait_for


class Program:
    """A program that serves HTTP; its port and its data stay over restarts."""

    READY = "/"

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.port = free_port()
        self._process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._is_ready, NEVER, f"{self.command()[0]} answers", ignoring=(OSError,))
        return self

    def stop(self):
        """Ends it in order: what it has taken is on its disk."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(NEVER)
            self._process = None

    def url(self, path, **query):
        return f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"

    def get(self, path, **query):
        with urllib.request.urlopen(self.url(path, **query), timeout=NEVER) as answer:
            return answer.read().decode()

    def _is_ready(self):
        assert self._process.poll() is None, self.diagnosis()
        return self.get(self.READY) is not None

    def diagnosis(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]


class Prometheus(Program):
    READY = "/-/ready"

    def __init__(self, folder, scrape_config):
        super().__init__(folder)
        self.config = self.folder / "prometheus.yml"
        self.config.write_text(scrape_config)

    def command(self):
        return [
            "prometheus",
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def query(self, expression):
        """The rows of an instant query: labels and value."""
        answer = json.loads(self.get("/api/v1/query", query=expression))
        assert answer["status"] == "success", answer
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]


class VictoriaMetrics(Program):
    READY = "/health"

    def command(self):
        return [
            "victoria-metrics",
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=10y",
        ]

    def values(self, selector):
        """Series that a selector means: labels, and (milliseconds, value) in order."""
        self.get("/internal/force_flush")
        lines = self.get("/api/v1/export", **{"match[]": selector}).splitlines()
        series = {}
        for line in map(json.loads, lines):
            key = tuple(sorted(line["metric"].items()))
            series.setdefault(key, []).extend(zip(line["timestamps"], line["values"]))
        return [(dict(key), sorted(samples)) for key, samples in series.items()]
