"""Another lab that says what a test wants: the object `ferrolab.Lab` in a daemon of Pyro5."""

import threading
import time

import Pyro5.api


def process(name, **facts):
    return {"name": name, "status": "running", "uri": None, "pid": 1, "since": None, "restarts": 0, "autolaunch": True} | facts


def service(name, daemon="bench", **facts):
    return {"name": name, "daemon": daemon, "status": "running", "error": None, "uri": None, **facts}


@Pyro5.api.expose
class FakeLab:
    """It shows `services`, `processes` and `series`; its clock is `ahead` by some seconds."""

    def __init__(self, services, processes=(), series=(), ahead=0):
        self.rows, self.others = list(services), list(processes)
        self.samples, self.ahead = list(series), ahead
        self.daemon = Pyro5.api.Daemon(host="localhost")
        self.daemon.register(self, "ferrolab.Lab")
        self.port = self.daemon.sock.getsockname()[1]

    def __enter__(self):
        self.thread = threading.Thread(target=self.daemon.requestLoop, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.daemon.shutdown()
        self.thread.join()
        self.daemon.close()

    def listing(self):
        daemons = [process(name) for name in sorted({row["daemon"] for row in self.rows})]
        return {"nameservers": [], "daemons": daemons, "services": self.rows, "processes": self.others}

    def values(self):
        now = time.time() + self.ahead
        rows = [
            {"unit": None, "keep": None, "poll": 1.0, "quality": "good", "error": None, "seq": 1, "t": now - 5, **row}
            for row in self.samples
        ]
        return {"series": rows, "away": {}, "now": now}
