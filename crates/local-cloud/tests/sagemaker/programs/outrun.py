#!/usr/bin/env python3
"""A model server whose first port is taken by another process before it is there."""

import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

port, notes = int(os.environ["SAGEMAKER_BIND_TO_PORT"]), os.environ["NOTES"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def take_port(told):
    """Has the port until the test goes on. It answers nobody."""
    os.setsid()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        listener.settimeout(0.05)
        os.write(told, b"x")
        end = time.monotonic() + 60
        while time.monotonic() < end and not os.path.exists(notes + ".go"):
            try:
                listener.accept()[0].close()
            except TimeoutError:
                pass


if not os.path.exists(notes + ".taken"):
    open(notes + ".taken", "w").close()
    taken, told = os.pipe()
    if os.fork() == 0:
        try:
            take_port(told)
        finally:
            os._exit(0)
    os.read(taken, 1)
    sys.exit("the port is taken")
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
