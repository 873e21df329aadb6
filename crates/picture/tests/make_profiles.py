"""Makes `fixtures/profiles/`: small pictures with colour profiles, and their pixels in sRGB.

    pip install numpy pillow
    python crates/picture/tests/make_profiles.py

The profiles are made here from the definitions of their colour spaces. LittleCMS converts the pictures of 8 bits (perceptual
intent). Those of 16 bits are computed in double precision. The last run used Pillow 13.0, LittleCMS 2.19 and libjpeg-turbo 3.2.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy
from PIL import Image, ImageCms

HERE = Path(__file__).resolve().parent
FIXTURES = HERE / "fixtures" / "profiles"
PORTRAIT = HERE.parent.parent.parent / "examples" / "astronaut.png"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

D50 = numpy.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
BRADFORD = numpy.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# Primaries and white, as x and y.
SRGB_PRIMARIES = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65]
DISPLAY_P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65]
ADOBE = [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65]
PROPHOTO = [(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585)]
# The curve of sRGB and Display P3, as parameters of ICC's function type 3.
SRGB_CURVE = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]


def fixed(number):
    return struct.pack(">i", round(number * 65536))


def matrix(primaries):
    """The matrix from linear RGB to XYZ under D50."""
    xyz = numpy.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries])
    colorants = xyz[:3].T
    colorants = colorants * numpy.linalg.solve(colorants, xyz[3])
    scale = numpy.diag((BRADFORD @ D50) / (BRADFORD @ xyz[3]))
    return numpy.linalg.inv(BRADFORD) @ scale @ BRADFORD @ colorants


def icc(version, kind, space, pcs, tags):
    """An ICC profile (ICC.1:2022, 7)."""
    described = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)
    if version == 4:
        described = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 8, 28) + "test".encode("utf-16-be")
    tags = {b"desc": described, b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, D50)), **tags}
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"\0" * 4, version << 24, kind, space, pcs)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + b"".join(map(fixed, D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def curve(shape):
    if isinstance(shape, list):
        return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"".join(map(fixed, shape))
    return b"curv" + bytes(4) + struct.pack(">IHH", 1, round(shape * 256), 0)


def rgb_profile(primaries, shape, version):
    colorants = matrix(primaries)
    tags = {}
    for n, name in enumerate([b"rXYZ", b"gXYZ", b"bXYZ"]):
        tags[name] = b"XYZ " + bytes(4) + b"".join(map(fixed, colorants[:, n]))
    for name in [b"rTRC", b"gTRC", b"bTRC"]:
        tags[name] = curve(shape)
    return icc(version, b"mntr", b"RGB ", b"XYZ ", tags)


def linear(levels, shape):
    if not isinstance(shape, list):
        return levels**shape
    gamma, a, b, c, d = shape
    return numpy.where(levels >= d, (a * levels + b) ** gamma, c * levels)


def srgb_levels(light):
    light = numpy.clip(light, 0, 1)
    return numpy.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def cmyk_profile():
    """A made-up press: darker inks than their complements, through a table of 7 levels an ink, in Lab."""
    grid = numpy.linspace(0, 1, 7)
    c, m, y, k = numpy.meshgrid(grid, grid, grid, grid, indexing="ij")
    inks = [(c, (0.05, 0.55, 0.85)), (m, (0.85, 0.12, 0.45)), (y, (0.98, 0.90, 0.10)), (k, (0.12, 0.11, 0.10))]
    rgb = numpy.ones((*c.shape, 3)) * 0.96
    for ink, colour in inks:
        rgb = rgb * (1 - ink[..., None] ** 0.8 * (1 - numpy.array(colour)))
    xyz = linear(rgb, SRGB_CURVE) @ matrix(SRGB_PRIMARIES).T / D50
    f = numpy.where(xyz > (6 / 29) ** 3, numpy.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = numpy.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
    # The 16-bit Lab of version 2.
    coded = numpy.stack([lab[..., 0] * 652.8, (lab[..., 1] + 128) * 256, (lab[..., 2] + 128) * 256], -1)
    coded = numpy.clip(numpy.rint(coded), 0, 65535).astype(">u2")
    table = b"mft2" + bytes(4) + bytes([4, 3, 7, 0]) + b"".join(map(fixed, [1, 0, 0, 0, 1, 0, 0, 0, 1]))
    table += struct.pack(">HH", 2, 2) + struct.pack(">HH", 0, 65535) * 4 + coded.tobytes() + struct.pack(">HH", 0, 65535) * 3
    return icc(2, b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def test_picture():
    """A part of the portrait over 24 saturated and grey patches."""
    picture = Image.new("RGB", (32, 32))
    picture.paste(Image.open(PORTRAIT).convert("RGB").crop((180, 60, 276, 132)).resize((32, 24)), (0, 0))
    for n in range(24):
        colour = [(0, 128, 255)[n // 9 % 3], (0, 128, 255)[n // 3 % 3], (0, 128, 255)[n % 3]] if n < 16 else [n * 11] * 3
        picture.paste(tuple(colour), (n % 8 * 4, 24 + n // 8 * 3, n % 8 * 4 + 4, min(32, 27 + n // 8 * 3)))
    return picture


def to_srgb(picture, profile):
    return ImageCms.profileToProfile(picture, io.BytesIO(profile), SRGB, outputMode="RGB")


def keep(name, expected):
    expected.save(FIXTURES / f"{name}.expected.png", optimize=True)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(pixels, colour_type, depth, chunks):
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pieces = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def iccp(profile):
    return chunk(b"iCCP", b"test\0\0" + zlib.compress(profile, 9))


def main():
    FIXTURES.mkdir(exist_ok=True)
    picture = test_picture()
    spaces = {
        "display-p3": (DISPLAY_P3, SRGB_CURVE, 4),
        "adobe-rgb": (ADOBE, 2.19921875, 2),
        "prophoto": (PROPHOTO, 1.8, 2),
    }
    lossy = {"quality": 100, "subsampling": 0}
    for name, (primaries, shape, version) in spaces.items():
        profile = rgb_profile(primaries, shape, version)
        picture.save(FIXTURES / f"{name}.png", icc_profile=profile, optimize=True)
        keep(f"{name}.png", to_srgb(picture, profile))
        picture.save(FIXTURES / f"{name}.jpg", icc_profile=profile, **lossy)
        keep(f"{name}.jpg", to_srgb(Image.open(FIXTURES / f"{name}.jpg"), profile))
        picture.save(FIXTURES / f"{name}.webp", icc_profile=profile, lossless=True)
        keep(f"{name}.webp", to_srgb(picture, profile))

        # Sixteen bits, with levels between those of eight.
        deep = numpy.array(picture, dtype=numpy.uint32) * 256 + numpy.arange(32 * 32 * 3).reshape(32, 32, 3) % 256
        (FIXTURES / f"{name}-16.png").write_bytes(png(deep.astype(">u2"), 2, 16, [iccp(profile)]))
        light = linear(deep / 65535, shape) @ (numpy.linalg.inv(matrix(SRGB_PRIMARIES)) @ matrix(primaries)).T
        keep(f"{name}-16.png", Image.fromarray(numpy.rint(srgb_levels(light) * 255).astype(numpy.uint8)))

    p3 = rgb_profile(DISPLAY_P3, SRGB_CURVE, 4)
    converted = numpy.array(to_srgb(picture, p3), dtype=numpy.uint32)
    alpha = (numpy.arange(32 * 32).reshape(32, 32, 1) % 256).astype(numpy.uint8)
    clear = numpy.concatenate([numpy.array(picture), alpha], -1)
    (FIXTURES / "alpha.png").write_bytes(png(clear, 6, 8, [iccp(p3)]))
    over = (converted * alpha + 255 * (255 - alpha.astype(numpy.uint32)) + 127) // 255
    keep("alpha.png", Image.fromarray(over.astype(numpy.uint8)))
    palette = picture.quantize(64)
    palette.save(FIXTURES / "palette.png", icc_profile=p3, optimize=True)
    keep("palette.png", to_srgb(palette.convert("RGB"), p3))

    # PNG's own descriptions of colours. The gamma is that of the profile, to five digits.
    (FIXTURES / "cicp.png").write_bytes(png(numpy.array(picture), 2, 8, [chunk(b"cICP", bytes([12, 13, 0, 1]))]))
    keep("cicp.png", to_srgb(picture, p3))
    numbers = [D65, *ADOBE[:3]]
    chrm = b"".join(struct.pack(">I", round(number * 100000)) for point in numbers for number in point)
    gama = struct.pack(">I", round(100000 / 2.19921875))
    (FIXTURES / "chrm.png").write_bytes(png(numpy.array(picture), 2, 8, [chunk(b"gAMA", gama), chunk(b"cHRM", chrm)]))
    keep("chrm.png", to_srgb(picture, rgb_profile(ADOBE, 2.19921875, 2)))

    grey = picture.convert("L")
    profile = icc(2, b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve(1.8)})
    grey.save(FIXTURES / "grey.png", icc_profile=profile)
    keep("grey.png", to_srgb(grey, profile))
    grey.save(FIXTURES / "grey.jpg", icc_profile=profile, quality=100)
    keep("grey.jpg", to_srgb(Image.open(FIXTURES / "grey.jpg"), profile))

    inks = picture.convert("CMYK")
    profile = cmyk_profile()
    inks.save(FIXTURES / "inks.jpg", icc_profile=profile, **lossy)
    keep("inks.jpg", to_srgb(Image.open(FIXTURES / "inks.jpg"), profile))
    # The same file, said to have brightness and colour differences: YCCK.
    file = (FIXTURES / "inks.jpg").read_bytes()
    adobe = file.index(b"Adobe") + 11
    (FIXTURES / "ycck.jpg").write_bytes(file[:adobe] + b"\x02" + file[adobe + 1 :])
    keep("ycck.jpg", to_srgb(Image.open(FIXTURES / "ycck.jpg"), profile))

    picture.save(FIXTURES / "srgb.png", icc_profile=SRGB.tobytes(), optimize=True)
    keep("srgb.png", picture)


if __name__ == "__main__":
    main()
