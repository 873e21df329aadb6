"""Makes the sample portrait in formats that browsers read, or Safari only, and the pipeline does not.

    pip install pillow pillow-heif
    python crates/time-traveler/tests/e2e/page/make_pictures.py

The last run used Pillow 13.0 and pillow-heif 1.8 (libheif 1.23, x265 4.3).
"""

from pathlib import Path

import pillow_heif
from PIL import Image

HERE = Path(__file__).resolve().parent
ORIENTATION = 0x0112


def main():
    pillow_heif.register_heif_opener()
    portrait = Image.open(HERE.parents[4] / "examples" / "astronaut.png").convert("RGB")
    # On its side, with the orientation that turns it upright: as a phone writes it.
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    portrait.rotate(90, expand=True).save(HERE / "portrait.avif", quality=60, exif=exif)
    small = portrait.resize((300, 300))
    other = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    small.save(HERE / "portrait.gif", save_all=True, append_images=[other], duration=500)
    portrait.resize((128, 128)).save(HERE / "portrait.heic", quality=40)


if __name__ == "__main__":
    main()
