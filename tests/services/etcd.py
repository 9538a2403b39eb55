"""etcd: a cluster of members on loopback, started by a test and changed with `etcdctl`; and lookups
at nameservers meanwhile."""

import json
import os
import signal
import subprocess
import threading
import time

from harness import NEVER, Certificates, free_port, proxy, wait_for


class Tls:
    """Files of a cluster that shows a certificate and wants one."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        made = Certificates(folder)
        names = made.extensions("names", "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.cert, self.key, self.cacert = made.issued("server", *names)
        self.client_cert, self.client_key, _ = made.issued("client", *names, subject="lab")

    @property
    def options(self):
        """Of a member."""
        files = ["--cert-file", self.cert, "--key-file", self.key, "--trusted-ca-file", self.cacert]
        return [*map(str, files), "--client-cert-auth"]

    @property
    def settings(self):
        """As a nameserver's table `etcd` and `etcdctl` call them."""
        return {"cacert": str(self.cacert), "cert": str(self.client_cert), "key": str(self.client_key)}


class Member:
    """A member of the cluster; its ports and its data stay over restarts."""

    def __init__(self, folder, name, host, tls=None):
        self.tls = tls
        self.folder, self.name, self.host = folder / name, name, host
        self.folder.mkdir(parents=True)
        self.port, self.peer_port = free_port(), free_port()
        self.process = None

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def peer_url(self):
        return f"http://{self.host}:{self.peer_port}"

    def start(self, cluster, *options):
        log = (self.folder / "log").open("ab")
        command = [
            "etcd", "--name", self.name, "--data-dir", str(self.folder / "data"),
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", cluster, "--logger", "zap",
            "--heartbeat-interval", "100", "--election-timeout", "1000", *options,
            *(self.tls.options if self.tls else []),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(NEVER)
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class Etcd:
    def __init__(self, folder, members=1, host="127.0.0.1", tls=None):
        self.members = [Member(folder, f"e{number}", host, tls) for number in range(members)]
        # Options of `etcdctl`.
        self.options = [f"--{key}={value}" for key, value in tls.settings.items()] if tls else []
        self.initial = ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    def start(self, *members):
        for member in members or self.members:
            member.start(self.initial)
        wait_for(self.is_well, NEVER, "etcd answers")
        return self

    def stop(self):
        for member in self.members:
            if member.process:
                member.resume()
            member.kill()

    @property
    def endpoints(self):
        return [member.url for member in self.members]

    def yaml(self, prefix="/ferrolab", **settings):
        return json.dumps({"endpoints": self.endpoints, "prefix": prefix, **settings})

    def ctl(self, *arguments, check=True, endpoints=None, typed=""):
        living = endpoints or [member.url for member in self.members if member.process]
        done = subprocess.run(
            ["etcdctl", f"--endpoints={','.join(living)}", *self.options, *arguments],
            env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, timeout=NEVER, input=typed,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def is_well(self):
        """Whether a majority answers."""
        return self.ctl("get", "anything", "-w", "json", check=False) != ""

    def is_whole(self):
        """Whether each member answers, with what the others know."""
        asked = [self.ctl("get", "anything", "-w", "json", check=False, endpoints=[one.url]) for one in self.members]
        return all(asked)

    def keys(self, prefix=""):
        return self.ctl("get", "--prefix", "--keys-only", prefix or "/").split()

    def leader(self):
        """The member that leads, once there is one."""
        def find():
            for member in self.members:
                if not member.process:
                    continue
                status = self.ctl("endpoint", "status", "-w", "json", check=False, endpoints=[member.url])
                try:
                    (status,) = json.loads(status)
                except ValueError:
                    continue
                if status["Status"]["leader"] == status["Status"]["header"]["member_id"]:
                    return member
            return None

        return wait_for(find, NEVER, "a leader")


class Lookups:
    """Lookups of a name at every nameserver, one after another: their times and failures."""

    def __init__(self, ports, name):
        self.failures, self.times, self._stop = [], [], threading.Event()
        self._made = dict.fromkeys(ports, 0)
        self._threads = [threading.Thread(target=self._look, args=(port, name)) for port in ports]

    def _look(self, port, name):
        with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as names:
            while not self._stop.wait(0.01):
                begun = time.perf_counter()
                try:
                    names.lookup(name)
                except Exception as error:
                    self.failures.append(f"{port}: {error!r}")
                self.times.append(time.perf_counter() - begun)
                self._made[port] += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                wait_for(lambda: all(self._made.values()), NEVER, "lookups at every nameserver")
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
