"""Takes a frame at several positions of the stage and finds the brightest pixel of each.

    python scan.py [--from MM] [--to MM] [--frames N]
"""

import argparse
import array

import ferrolab


def brightest(frame, width):
    # With numpy: numpy.frombuffer(frame, "<u2").reshape(-1, width)
    pixels = array.array("H", frame)
    value = max(pixels)
    return value, divmod(pixels.index(value), width)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="first", type=float, default=0.0, metavar="MM")
    parser.add_argument("--to", type=float, default=1.0, metavar="MM")
    parser.add_argument("--frames", type=int, default=3)
    options = parser.parse_args()
    lab = ferrolab.connect(timeout=60)
    # A move must not outlive its program for long: 2 s after a lost connection the stage stops.
    with lab.session("scope.stage", "scope.camera", wait=600, name="scan", ttl=2) as session:
        stage, camera = session["scope.stage"], session["scope.camera"]
        camera.exposure = 0.002
        width = camera.width
        for number in range(options.frames):
            way = (options.to - options.first) * number / max(1, options.frames - 1)
            where = stage.move_to(options.first + way)
            value, (y, x) = brightest(camera.frame(), width)
            print(f"{where} mm: {value} at {x},{y}")


if __name__ == "__main__":
    main()
