"""Dates in a configuration reach the driver as PyYAML, and so PyroLab's users, know them."""

import datetime

import pytest
import yaml
from shape import shape

DATES = [
    "2024-02-29",
    "2024-02-29 10:00:00",
    "2024-2-9T1:02:03.5",
    "2024-02-29 10:00:00.123456789",
    "2024-02-29T10:00:00Z",
    "2024-02-29 10:00:00 +01:30",
    "2024-02-29 10:00:00 -5",
]
TEXTS = ["2024-1-31", "'2024-02-29'", "2024/02/29", "10:20:30"]
LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {}}
services:
  lab.parameters: {module: calibrated, classname: Calibrated, daemon: bench, instancemode: single,
    parameters: {dates: $dates, in: {one: 2024-02-29}}}
  lab.arguments: {module: calibrated, classname: Dated, daemon: bench, arguments: [2024-02-29, [2024-02-29 10:00:00]]}
  lab.keywords: {module: calibrated, classname: Dated, daemon: bench, arguments: {since: 2024-02-29, name: x}}
autolaunch: {daemons: [bench]}
"""


def test_dates_are_those_of_pyyaml(lab):
    written = "[{}]".format(", ".join(DATES + TEXTS))
    lab.config(LAB, dates=written)
    lab.up()
    with lab.proxy("lab.parameters") as service:
        service.autoconnect()
        expected = {"dates": yaml.safe_load(written), "in": {"one": datetime.date(2024, 2, 29)}}
        assert service.parameters() == shape(expected)
    day = datetime.date(2024, 2, 29)
    with lab.proxy("lab.arguments") as service:
        assert service.given() == shape([(day, [datetime.datetime(2024, 2, 29, 10)]), {}])
    with lab.proxy("lab.keywords") as service:
        assert service.given() == shape([(), {"since": day, "name": "x"}])


@pytest.mark.parametrize("date", ["2024-02-30", "2024-13-01", "2024-02-29 25:00:00"])
def test_a_date_that_does_not_exist_is_an_error_with_its_place(lab, date):
    result = lab.run("config", "check", lab.write(LAB, dates=f"[{date}]"), check=False)
    assert result.returncode == 1
    assert f"services.lab.parameters.parameters.dates[0]: `{date}` is a date that does not" in result.text
