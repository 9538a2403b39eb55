"""Shows both instruments while others work with them, with asyncio.

    python monitor.py [--readings N] [--every SECONDS]
"""

import argparse
import asyncio

import ferrolab


async def read(lab):
    """One line of what the instruments show; the three calls are on their way at once."""
    supply, meter = lab["bench.supply"], lab["bench.meter"]
    output, volts, amperes = await asyncio.gather(
        supply.output, meter.measure_voltage(), meter.measure_current()
    )
    return f"output {'on' if output else 'off'}, {volts:.3f} V, {amperes:.4f} A"


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readings", type=int, default=10)
    parser.add_argument("--every", type=float, default=1.0, help="seconds")
    options = parser.parse_args()
    async with ferrolab.connect(timeout=30).aio as lab:
        for _ in range(options.readings):
            try:
                print(await read(lab), flush=True)
            except (ferrolab.CommunicationError, ferrolab.NamingError) as error:
                # The network is away, or the bench is stopped and has no address: the next
                # reading looks for it again.
                print("no reading:", error, flush=True)
            await asyncio.sleep(options.every)


if __name__ == "__main__":
    asyncio.run(main())
