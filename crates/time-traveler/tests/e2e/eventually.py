"""Waits in the boto3 scripts."""

import time


def eventually(look, seconds=60):
    """Calls `look` until its answer is true, and returns that answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing was found within {seconds} seconds")
