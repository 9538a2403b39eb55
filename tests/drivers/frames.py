"""Tables and series of pandas, beside the bytes that Pyro5's own serializers make of them."""

import base64

import pandas
import Pyro5.serializers
from Pyro5.api import expose

MADE = {
    "series": lambda: pandas.Series([1.5, 2.5], name="volts"),
    "frame": lambda: pandas.DataFrame({"time": [0, 1], "volts": [1.5, 2.5]}),
    "index": lambda: pandas.RangeIndex(3),
    "timestamp": lambda: pandas.Timestamp("2024-02-29T12:00:00"),
    "timedelta": lambda: pandas.Timedelta(seconds=1.5),
    "missing": lambda: pandas.NA,
    "records": lambda: pandas.DataFrame({"volts": [1.5]}).to_dict("records"),
    "values": lambda: pandas.Series([1, 2]).to_list(),
}


@expose
class Frames:
    def made(self, name):
        return MADE[name]()

    def dumped(self, serializer, name):
        """The bytes that Pyro5 itself would send, as text."""
        data = Pyro5.serializers.serializers[serializer].dumps(MADE[name]())
        return base64.b64encode(data).decode()
