"""Runs a script of the SageMaker SDK as it is, in two ways that make it a test: it may only talk to this machine, and its pauses are
short. The SDK looks at a job every 30 seconds."""

import os
import runpy
import sys
import time

PAUSES = 100
LOOPBACK = {"localhost", "127.0.0.1", "::1", b"localhost", None, ""}


def watch(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo"):
        return
    address = arguments[1] if event == "socket.connect" else arguments
    host = address[0] if isinstance(address, tuple) else None
    if host not in LOOPBACK:
        print("leaves the machine:", host, flush=True)
        os._exit(86)


class Clock:
    """The time as the script sees it: what it does not wait for has passed, too."""

    def __init__(self):
        self.sleep, self.time, self.ahead = time.sleep, time.time, 0.0

    def pause(self, seconds):
        self.sleep(seconds / PAUSES)
        self.ahead += seconds - seconds / PAUSES

    def now(self):
        return self.time() + self.ahead


sys.addaudithook(watch)
clock = Clock()
time.sleep, time.time = clock.pause, clock.now
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
