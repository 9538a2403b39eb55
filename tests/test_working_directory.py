"""Where the lab's processes are: relative files of drivers mean the same however it was started."""

import os
import shutil

from harness import proxy

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers: {local: {host: localhost, ns_port: 0}}
daemons:
  bench: {host: localhost}
  plain: {host: localhost}
services:
  lab.where: {module: whereabouts, classname: Whereabouts, daemon: bench}
  lab.meter: {native: simulated.multimeter, daemon: plain}
autolaunch: {nameservers: [local], daemons: [bench, plain]}
"""


def test_a_driver_finds_what_is_beside_the_configuration(lab):
    (lab.files / "calibration.csv").write_text("1;2")
    lab.config(CONFIGURATION)
    elsewhere = lab.folder / "elsewhere"
    elsewhere.mkdir()
    lab.run("up", cwd=elsewhere)
    with lab.proxy("lab.where") as driver:
        assert driver.read("calibration.csv") == "1;2"
        assert os.path.samefile(driver.folder(), lab.files)
    for process in lab.processes():
        there = os.readlink(f"/proc/{process.pid}/cwd")
        assert there in ("/", str(lab.files)), f"{process} keeps {there} busy"


def test_a_home_may_be_given_from_where_up_is_typed(lab):
    lab.config(CONFIGURATION)
    real = lab.environment
    lab.environment = lambda: real() | {"FERROLAB_HOME": "home"}
    lab.run("up", cwd=lab.folder)
    lab.environment = real
    assert lab.entry("services", "lab.where")["status"] == "running"


def test_a_folder_that_is_gone_is_told_of_and_drivers_serve(lab):
    folder = lab.files / "gone"
    lab.config(CONFIGURATION, "gone/lab.yaml")
    shutil.rmtree(folder)
    lab.up()
    with proxy(lab.uri("lab.where")) as driver:
        assert driver.folder() == "/"
    assert "cannot be entered" in lab.run("logs", "show").text
