"""Runs a command in a pseudo-terminal of a given size, and passes on its output and its exit code.

    python3 run_in_terminal.py COLUMNS ROWS COMMAND...
"""

import fcntl
import os
import pty
import struct
import sys
import termios

columns, rows = int(sys.argv[1]), int(sys.argv[2])
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 10 * columns, 20 * rows))
    os.execvp(sys.argv[3], sys.argv[3:])
while True:
    try:
        written = os.read(terminal, 65536)
    except OSError:  # Linux reports EIO once the command has closed the terminal
        break
    if not written:
        break
    sys.stdout.buffer.write(written)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
