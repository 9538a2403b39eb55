"""An instrument with many values that cost nothing to read."""

COUNT = 50


class ManyValues:
    """Properties `value_0` and so on, each another number each time."""

    _readings = 0


def _value(number):
    def value(self):
        self._readings += 1
        return number + self._readings * 1e-3

    return property(value)


for _number in range(COUNT):
    setattr(ManyValues, f"value_{_number}", _value(_number))
