"""Channels with a thread each."""

import threading


class ChannelThreads:
    """Channels with a thread each: what a threaded daemon has."""

    def __init__(self):
        self._lock = threading.Lock()
        self._channels = set()

    def add(self, channel):
        """Serves a channel."""
        with self._lock:
            self._channels.add(channel)
        try:
            threading.Thread(
                target=self._serve, args=(channel,), name="ferrolab-channel", daemon=True
            ).start()
        except BaseException:
            with self._lock:
                self._channels.discard(channel)
            raise

    def _serve(self, channel):
        try:
            channel.serve()
        finally:
            with self._lock:
                self._channels.discard(channel)

    def channels(self):
        """The open channels."""
        with self._lock:
            return list(self._channels)

    def unlocked(self):
        """The open channels, for a forked child: the lock's holder may not exist there."""
        return list(self._channels)
