"""Ramps the output of pymeasure's instrument and reads its waveform, with Pyro5's own client."""

import Pyro5.api

nameserver = Pyro5.api.locate_ns("localhost", 9090)
with Pyro5.api.Proxy(nameserver.lookup("lab.knife")) as knife:
    knife.lock("ramp")
    for volts in (0.0, 0.5, 1.0):
        knife.output_voltage = volts
        print(f"{knife.output_voltage} V: {knife.wave:+.3f}")
    knife.unlock()
