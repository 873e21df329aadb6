"""A model server of another make. The age that is asked for decides the kind of its answer."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROWS, COLUMNS = 1024, 2048


def npy(version, fortran_order, shape, pixels):
    """The file that numpy.save writes, in the asked version of the format."""
    header = f"{{'descr': '|u1', 'fortran_order': {fortran_order}, 'shape': {shape}, }}".encode()
    length = 2 if version == 1 else 4
    header += b" " * (-(9 + length + len(header)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(length, "little") + header + pixels


def c_order():
    """Red is the row / 4, green the column / 32, blue is 7."""
    rows = (b"".join(bytes([row // 4, column // 32, 7]) for column in range(COLUMNS)) for row in range(0, ROWS, 4))
    return b"".join(row * 4 for row in rows)


def fortran_order():
    red = bytes(row // 4 for row in range(ROWS)) * COLUMNS
    green = b"".join(bytes([column // 32]) * ROWS for column in range(COLUMNS))
    return red + green + bytes([7]) * (ROWS * COLUMNS)


SHAPE = (ROWS, COLUMNS, 3)
ANSWERS = {
    "1": ("application/x-npy", npy(1, False, SHAPE, c_order())),
    "2": ("application/x-npy", npy(2, False, SHAPE, c_order())),
    "3": ("application/x-npy", npy(3, True, SHAPE, fortran_order())),
    "11": ("image/jpeg", b"\xff\xd8\xff\xe0\x00\x10JFIF"),
    "12": ("application/json", b'{"boxes": []}'),
    "13": ("application/x-npy", npy(1, False, (1, *SHAPE), c_order())),
    "14": (None, b"PK\x03\x04"),
}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, media_type=None, body=b""):
        self.send_response(200)
        if media_type:
            self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        attributes = self.headers["X-Amzn-SageMaker-Custom-Attributes"]
        self.answer(*ANSWERS[attributes.split("=")[1]])


ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
