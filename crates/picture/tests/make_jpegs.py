"""Makes `fixtures/`: a part of the sample portrait as several JPEGs, and the pixels that libjpeg-turbo decodes.

    pip install pillow
    python crates/picture/tests/make_jpegs.py

The last run used Pillow 12 and libjpeg-turbo 3.2.
"""

from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
PORTRAIT = HERE.parent.parent.parent / "examples" / "astronaut.png"


def main():
    part = Image.open(PORTRAIT).convert("RGB").crop((170, 60, 231, 105))
    kinds = {
        "baseline": (part, {"subsampling": 2}),
        "progressive": (part, {"subsampling": 2, "progressive": True, "restart_marker_blocks": 3}),
        "columns": (part, {"subsampling": 1}),
        "cmyk": (part.convert("CMYK"), {"quality": 90}),
    }
    for name, (picture, options) in kinds.items():
        path = HERE / "fixtures" / f"{name}.jpg"
        picture.save(path, **{"quality": 80, **options})
        Image.open(path).convert("RGB").save(path.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
