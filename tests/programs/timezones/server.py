"""Times and zones, as plain data and as Python's own types."""

import datetime

from Pyro5.api import expose

UTC = datetime.timezone.utc


@expose
class Clock:
    FORMAT = "%Y-%m-%d %H:%M:%S %z"
    epoch = datetime.datetime(2024, 2, 29, 12, 0, tzinfo=UTC)

    def at(self, hours):
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        return self.epoch.astimezone(zone).strftime(self.FORMAT)

    def raw(self):
        return self.epoch.replace(tzinfo=None)

    def day(self):
        return self.epoch.date()

    def span(self):
        return datetime.timedelta(hours=1, seconds=1)

    def several(self):
        return {"when": [self.raw(), self.day()], "time": datetime.time(1, 2, 3)}

    def kind(self, value):
        return type(value).__name__, str(value)
