"""A model server that keeps SageMaker's contract for containers, except for one fault.

Its argument names the fault, and `none` is no fault. The server prints its address.
"""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = sys.argv[1]
PLACES = 8
TYPE = "application/octet-stream"

lock = threading.Lock()
state = {"busy": 0, "pings": 0, "broken": False, "draining": False, "load": 0}


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        headers = {"Content_Length": str(len(body)), **headers}
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, message, **headers):
        body = b"" if FAULT == "silent-refusals" else b'{"message": "%s"}' % message.encode()
        self.answer(status, body, **headers)

    def do_GET(self):
        if self.path == "/ping":
            self.ping()
        elif self.path == "/invocations":
            self.refuse(200 if FAULT == "any-method" else 405, "POST works")
        else:
            self.refuse(200 if FAULT == "any-path" else 404, "there is /ping and /invocations")

    def ping(self):
        state["pings"] += 1
        if FAULT == "slow-ping" and state["pings"] == 3:
            time.sleep(2.2)
        unhealthy = FAULT == "never-healthy" or (FAULT == "busy-is-unhealthy" and state["busy"] > PLACES // 2)
        drained = state["draining"] and FAULT != "healthy-while-draining"
        self.answer(503 if unhealthy or drained else 200)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            state["broken"] |= FAULT == "dies-of-hang-ups"
            return
        with lock:
            state["busy"] += 1
            place = state["busy"] <= PLACES
            state["load"] = max(state["load"], state["busy"])
        try:
            self.invocation(body, place)
        finally:
            with lock:
                state["busy"] -= 1

    def invocation(self, body, place):
        if state["draining"]:
            return self.refuse(503, "stopping", Retry_After="1")
        if not place:
            if FAULT == "overload-is-an-error":
                return self.refuse(500, "too many")
            retry = None if FAULT == "no-retry-after" else "1"
            return self.refuse(503, "too many", Retry_After=retry)
        if state["broken"] or FAULT == "healthy-but-broken":
            return self.refuse(500, "the model is not there")
        if not body and FAULT == "empty-is-an-error":
            return self.refuse(500, "no body")
        whole = body.startswith(b"\x89PNG") and body.rstrip().endswith(b"IEND\xaeB`\x82")
        if not whole:
            state["broken"] |= FAULT == "dies-of-bad-bodies"
            return self.refuse(500 if FAULT == "bad-is-an-error" else 400, "no PNG picture")
        if not self.headers.get("Content-Type", "").startswith("image/") and FAULT != "any-content-type":
            return self.refuse(415, "image/png works")
        if self.headers.get("Accept") not in ("*/*", TYPE) and FAULT != "any-accept":
            return self.refuse(406, TYPE + " works")
        time.sleep(0.4)
        self.result(body)

    def result(self, body):
        output = body[:5000]
        if FAULT == "mixes-up" and state["load"] > 1:
            output = output[1:] + b"x"
        headers = {"Content_Type": TYPE}
        if FAULT == "long-headers":
            headers["X_Why"] = "x" * 4000
        if FAULT == "long-attributes":
            headers["X_Amzn_SageMaker_Custom_Attributes"] = "x" * 1025
        if FAULT == "other-type":
            headers["Content_Type"] = "text/html"
        if FAULT == "no-type":
            headers["Content_Type"] = None
        if FAULT == "breaks-off":
            headers["Content_Length"] = str(len(output) + 1)
        if FAULT == "no-length":
            headers["Content_Length"] = None
        if FAULT == "chunked":
            self.protocol_version = "HTTP/1.1"
            self.close_connection = True
            headers["Content_Length"] = None
            headers["Transfer_Encoding"] = "chunked"
            output = b"%x\r\n%b\r\n0\r\n\r\n" % (len(output), output)
        self.answer(200, output, **headers)


def stop(server):
    if FAULT == "loses-at-sigterm":
        os._exit(0)
    if FAULT == "ignores-sigterm":
        return
    state["draining"] = True
    # Clients that poll /ping need time to see that this server is draining.
    time.sleep(1.5 if FAULT == "healthy-while-draining" else 0.3)
    server.shutdown()


server = Server(("127.0.0.1", 0), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop, args=(server,)).start())
print(f"http://127.0.0.1:{server.server_port}", flush=True)
# Ends at SIGTERM, after the threads of accepted requests.
thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
thread.start()
while thread.is_alive():
    thread.join(0.1)
server.server_close()
