"""Facts about numbers in annotations: their unit, and the range that clients may give.

    def set_voltage(self, volts: Annotated[float, Unit("V"), Range(0, 30)]) -> None: ...

Both come into the service card. A range is kept: other values are refused before the driver sees
them.
"""


class Unit:
    """The unit of a number: `Annotated[float, Unit("V")]`."""

    __slots__ = ("text",)

    def __init__(self, text):
        if not isinstance(text, str) or not text:
            raise TypeError("a unit is a text, such as Unit('V')")
        self.text = text

    def __repr__(self):
        return "Unit({!r})".format(self.text)

    def __eq__(self, other):
        return isinstance(other, Unit) and other.text == self.text

    def __hash__(self):
        return hash(self.text)


class Range:
    """The range of a number, with both ends: `Annotated[float, Range(0, 30)]`."""

    __slots__ = ("maximum", "minimum")

    def __init__(self, minimum=None, maximum=None):
        for end in (minimum, maximum):
            if end is not None and (isinstance(end, bool) or not isinstance(end, (int, float))):
                raise TypeError("an end of a range is a number or None, not {!r}".format(end))
            if end is not None and not abs(end) < float("inf"):
                raise ValueError("an end of a range is a number or None, not {!r}".format(end))
        if minimum is not None and maximum is not None and minimum > maximum:
            raise ValueError("Range({!r}, {!r}) holds no number".format(minimum, maximum))
        self.minimum = minimum
        self.maximum = maximum

    def __repr__(self):
        return "Range({!r}, {!r})".format(self.minimum, self.maximum)

    def __eq__(self, other):
        return isinstance(other, Range) and (other.minimum, other.maximum) == (
            self.minimum,
            self.maximum,
        )

    def __hash__(self):
        return hash((self.minimum, self.maximum))
