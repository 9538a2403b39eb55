"""Sweeps the voltage of the supply and writes what the meter reads, with nobody in between.

    python sweep.py [--to VOLTS] [--steps N]
"""

import argparse
import csv
import sys

import ferrolab


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=float, default=5.0, help="volts at the end")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    lab = ferrolab.connect(timeout=30)
    rows = csv.writer(sys.stdout)
    # Both instruments or none. At the end, however it comes, the supply is switched off: it names
    # `off` as its safe state in lab.yaml.
    with lab.session("bench.supply", "bench.meter", wait=600, name="sweep") as session:
        supply, meter = session["bench.supply"], session["bench.meter"]
        rows.writerow(["set", "volts", "amperes", "epoch"])
        supply.voltage = 0
        supply.on()
        for step in range(options.steps + 1):
            supply.voltage = options.to * step / options.steps
            # The epoch tells these rows from what others have measured.
            rows.writerow([supply.voltage, meter.measure_voltage(), meter.measure_current(), session.epochs["bench.supply"]])


if __name__ == "__main__":
    main()
