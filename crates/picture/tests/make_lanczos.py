"""Makes `fixtures/lanczos.txt`: what Pillow makes of a small picture at other sizes.

    pip install numpy pillow
    python crates/picture/tests/make_lanczos.py

The last run used Pillow 13.0.
"""

from pathlib import Path

import numpy
from PIL import Image

y, x = numpy.mgrid[:5, :7]
pixels = numpy.stack([x * 41 + y * 7, 255 - x * x * 5 - y, x * y * 37], axis=2).astype(numpy.uint8)
picture = Image.fromarray(pixels)
cases = []
for width, height in [(3, 2), (16, 9), (7, 3), (1, 1)]:
    resized = numpy.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    cases.append(f"({width}, {height}, &{resized.flatten().tolist()})")
fixture = Path(__file__).resolve().parent / "fixtures" / "lanczos.txt"
fixture.write_text("[\n" + ",\n".join(cases) + ",\n]\n")
