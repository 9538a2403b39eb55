"""A relay between a client and a daemon that counts the answers that pass."""

import contextlib
import socket
import threading


class Relay:
    """`uri` leads through the relay; `answers` counts the daemon's sends on each connection.

    With `idle` it cuts connections on which the daemon has sent nothing for so many seconds.
    """

    def __init__(self, uri, idle=None):
        self.idle, self.is_open = idle, True
        target, _, address = str(uri).rpartition("@")
        host, _, port = address.rpartition(":")
        self.address = (host, int(port))
        self.answers = []
        self._connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"{target}@127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                daemon = socket.create_connection(self.address) if self.is_open else None
            except OSError:
                # The daemon is away for now.
                daemon = None
            if daemon is None:
                client.close()
                continue
            daemon.settimeout(self.idle)
            self._connections += [client, daemon]
            number = len(self.answers)
            self.answers.append(0)
            threading.Thread(target=self._pass, args=(client, daemon, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(daemon, client, number), daemon=True).start()

    def _pass(self, source, target, number):
        try:
            while data := source.recv(65536):
                target.sendall(data)
                if number is not None:
                    self.answers[number] += 1
        except OSError:
            pass
        finally:
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        """Ends every connection, and takes no other."""
        self.__exit__()
        self._end_all()

    @contextlib.contextmanager
    def away(self):
        """Meanwhile every connection is cut."""
        self.is_open = False
        self._end_all()
        try:
            yield
        finally:
            self.is_open = True

    def _end_all(self):
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
