"""Makes the pictures of the page from the sample portrait and the icon: the sample at two ages, the card that other sites show
beside a link, and the icon in the sizes of browsers and phones.

    pip install pillow
    cargo run --release -- age examples/astronaut.png --ages 20,80 --out target/sample
    python crates/web/make_pictures.py target/sample

Chromium draws the card and the icon (CHROMIUM, or `chromium`). The last run used Pillow 13.0 and Chromium 156.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

SITE = Path(__file__).resolve().parent / "site"
CHROMIUM = os.environ.get("CHROMIUM", "chromium")
# Pixels of a side. The pictures are shown larger on large screens; the bytes of the page are what limits them.
SAMPLE = 520
CARD = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; width: 1200px; height: 630px; display: grid; grid-template-columns: 570px 630px; background: #f7f2ea; color: #241a12; }
div { align-self: center; padding: 0 56px; font: 600 76px/1.1 Georgia, serif; }
div img { display: block; width: 96px; margin-bottom: 32px; }
p { margin: 28px 0 0; font: 400 32px/1.4 system-ui, sans-serif; color: #675747; }
figure { position: relative; margin: 0; overflow: hidden; }
figure img { position: absolute; inset: 0; width: 630px; height: 630px; }
figure img + img { clip-path: inset(0 50% 0 0); }
hr { position: absolute; inset: 0 auto 0 313px; width: 4px; margin: 0; border: 0; background: #fffdf9; box-shadow: 0 0 8px #0009; }
b { position: absolute; bottom: 28px; padding: 6px 24px; border-radius: 12px; background: #17130fc0; color: #fffdf9; font: 600 52px/1.2 Georgia, serif; }
</style><div><img src="ICON" alt="">Time Traveler<p>Upload a portrait, meet the same person at other ages.</p></div>
<figure><img src="OLD"><img src="YOUNG"><hr><b style="left:28px">20</b><b style="right:28px">80</b></figure>"""


def drawn(page, width, height, folder):
    """A picture of a page of this size, with transparent pixels where it draws nothing."""
    file = Path(folder) / "drawn.png"
    subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
         "--default-background-color=00000000", f"--window-size={width},{height}", f"--screenshot={file}", page.as_uri()],
        check=True, capture_output=True)
    with Image.open(file) as picture:
        return picture.convert("RGBA")


def main(sample):
    young, old = (sample / f"{n}.jpg" for n in (1, 2))
    for age, file in ((20, young), (80, old)):
        with Image.open(file) as picture:
            small = picture.resize((SAMPLE, SAMPLE), Image.Resampling.LANCZOS)
        small.save(SITE / f"sample-{age}.avif", quality=30, speed=0)
    icon = SITE / "icon.svg"
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "card.html"
        card.write_text(CARD.replace("ICON", icon.as_uri()).replace("OLD", old.as_uri()).replace("YOUNG", young.as_uri()))
        drawn(card, 1200, 630, folder).convert("RGB").save(SITE / "card.jpg", quality=82, optimize=True, progressive=True)
        page = Path(folder) / "icon.html"
        page.write_text(f'<style>body{{margin:0}}img{{display:block;width:512px}}</style><img src="{icon.as_uri()}">')
        large = drawn(page, 512, 512, folder)
    for side in (180, 512):
        # Phones cut the corners themselves, and show transparent ones in black.
        square = Image.new("RGB", large.size, large.getpixel((256, 20))[:3])
        square.paste(large, mask=large)
        small = square.resize((side, side), Image.Resampling.LANCZOS)
        small.quantize(64).save(SITE / f"icon-{side}.png", optimize=True)
    large.save(SITE / "favicon.ico", sizes=[(32, 32)])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
