//! Files that lack their end: taken if no pixel is missing, else refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Cursor;

use image::{DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage};
use picture::{PictureError, decode};

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x * 7919 + y * 104_729) % 23;
        Rgb([180 + noise as u8, (40 + x % 60) as u8, (30 + y % 60) as u8])
    })
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture(96, 64)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpegs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("encoded", encoded(ImageFormat::Jpeg)),
        ("baseline", include_bytes!("fixtures/baseline.jpg").to_vec()),
        ("progressive", include_bytes!("fixtures/progressive.jpg").to_vec()),
        ("columns", include_bytes!("fixtures/columns.jpg").to_vec()),
        ("cmyk", include_bytes!("fixtures/cmyk.jpg").to_vec()),
        ("grey", include_bytes!("fixtures/profiles/grey.jpg").to_vec()),
    ]
}

fn is_cut(found: Result<RgbImage, PictureError>) -> bool {
    matches!(found, Err(PictureError::Truncated { .. } | PictureError::Corrupt { .. } | PictureError::Unsupported))
}

#[test]
fn a_jpeg_without_its_end_marker_is_whole() {
    for (name, jpeg) in jpegs() {
        let whole = decode(&jpeg).unwrap();
        let scans = jpeg.strip_suffix(b"\xff\xd9").unwrap();
        let ends: [(&str, &[u8]); 9] = [
            ("nothing", b""),
            ("half a marker", b"\xff"),
            ("zeros", &[0; 2]),
            ("many zeros", &[0; 5000]),
            // Panoramas of Samsung's phones.
            ("a trailer", b"\x00\x00\x01\x0b\x0d\x00\x00\x00Image_UTC_Data1614500123456SEFH\x6b\0\0\0\x01\0\0\0SEFT"),
            ("a trailer with markers", b"trailer\xff\x01\xff\xc0\xff\xe1\xff\xff\xff"),
            ("another picture", b"\xff\xd8\xff\xdb\x00\x04\x00\x00"),
            ("a segment that is cut", b"\xff\xfe\x10\x00comment"),
            ("a comment", b"\xff\xfe\x00\x05abc"),
        ];
        for (case, end) in ends {
            let found = decode(&[scans, end].concat());
            assert_eq!(found.unwrap_or_else(|error| panic!("{name}, {case}: {error}")), whole, "{name}, {case}");
        }
    }
}

#[test]
fn a_cut_jpeg_is_refused() {
    for (name, jpeg) in jpegs() {
        let whole = decode(&jpeg).unwrap();
        let length = jpeg.len() - 2;
        let near = (1..60).map(|missing| length - missing);
        let far = (0..60).map(|part| length * part / 60);
        let mut refused = 0;
        for cut in near.chain(far) {
            for zeros in [0, 4000] {
                let found = decode(&[&jpeg[..cut], &vec![0; zeros]].concat());
                // The last byte may hold padding only.
                assert!(
                    is_cut(match found {
                        Ok(picture) if cut + 2 >= length => {
                            assert!(picture == whole, "{name} at {cut} of {length}, {zeros} zeros");
                            continue;
                        }
                        found => found,
                    }),
                    "{name} at {cut} of {length}, {zeros} zeros"
                );
                refused += 1;
            }
        }
        assert!(refused >= 232, "{name}: {refused}");
    }
}

/// A progressive file that ends between two scans has all its blocks, and none of them is exact.
#[test]
fn a_progressive_jpeg_needs_all_its_scans() {
    let jpeg = include_bytes!("fixtures/progressive.jpg");
    let scans: Vec<usize> = (0..jpeg.len() - 1).filter(|&at| jpeg[at..at + 2] == [0xff, 0xda]).collect();
    assert!(scans.len() > 5);
    for scan in &scans[1..] {
        assert!(matches!(decode(&jpeg[..*scan]), Err(PictureError::Truncated { format: "JPEG", .. })), "{scan}");
    }
}

/// The PNGs: with one chunk of pixels, with many, interlaced.
fn pngs() -> Vec<Vec<u8>> {
    let plain = encoded(ImageFormat::Png);
    let mut split = Vec::new();
    let mut rest = &plain[8..];
    split.extend(&plain[..8]);
    while let Some(length) = rest.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) {
        let (chunk, next) = rest.split_at(12 + length);
        if &chunk[4..8] == b"IDAT" {
            for part in chunk[8..8 + length].chunks(700) {
                let named = [b"IDAT", part].concat();
                split.extend((part.len() as u32).to_be_bytes());
                split.extend(&named);
                split.extend(crc32fast::hash(&named).to_be_bytes());
            }
        } else {
            split.extend(chunk);
        }
        rest = next;
    }
    let mut deep = Vec::new();
    let samples: Vec<u8> = picture(96, 64).iter().flat_map(|&level| [level, level.wrapping_mul(31)]).collect();
    let encoder = image::codecs::png::PngEncoder::new(&mut deep);
    let native: Vec<u8> =
        samples.chunks(2).flat_map(|pair| u16::from_be_bytes([pair[0], pair[1]]).to_ne_bytes()).collect();
    encoder.write_image(&native, 96, 64, image::ExtendedColorType::Rgb16).unwrap();
    vec![plain, split, deep]
}

#[test]
fn a_png_without_its_end_is_whole() {
    for png in pngs() {
        let whole = decode(&png).unwrap();
        for missing in 1..=16 {
            // The end has 12 bytes. In front of it is the checksum of the last pixels.
            let cut = &png[..png.len() - missing];
            assert_eq!(decode(cut).unwrap_or_else(|error| panic!("{missing}: {error}")), whole, "{missing}");
        }
        let pixels = &png[..png.len() - 12];
        for end in [&[0; 12][..], &[0; 4000], b"trailer, and more of it", b"\0\0\0\0IEND", b"\0\0\0\0IENDxxxx"] {
            assert_eq!(decode(&[pixels, end].concat()).unwrap(), whole, "{end:?}");
        }
    }
}

#[test]
fn a_cut_png_is_refused() {
    for png in pngs() {
        let whole = decode(&png).unwrap();
        let length = png.len();
        for cut in (17..80).map(|missing| length - missing).chain((0..60).map(|part| length * part / 61)) {
            match decode(&png[..cut]) {
                // The last four bytes of the compressed data are its checksum.
                Ok(picture) => assert!(picture == whole && cut + 24 >= length, "{cut} of {length}"),
                found => assert!(is_cut(found), "{cut} of {length}"),
            }
        }
    }
}

#[test]
fn a_webp_that_lacks_metadata_only_is_whole() {
    let webp = include_bytes!("fixtures/profiles/display-p3.webp");
    let whole = decode(webp).unwrap();
    let mut file = webp.to_vec();
    // The flag of the extended file, then the chunk behind the pixels.
    file[20] |= 0x08;
    file.extend(b"EXIF\x17\0\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0");
    let size = (file.len() as u32 + 1 - 8).to_le_bytes();
    file[4..8].copy_from_slice(&size);
    let turned = decode(&[&file[..], b"\0"].concat()).unwrap();
    assert!(turned != whole);
    // Without the padding, the orientation counts still.
    assert!(decode(&file).unwrap() == turned);
    for cut in webp.len()..file.len() {
        assert!(decode(&file[..cut]).unwrap() == whole, "{cut}");
    }
    for cut in (webp.len() - 40..webp.len() - 1).chain((0..30).map(|part| webp.len() * part / 31)) {
        assert!(is_cut(decode(&file[..cut])), "{cut}");
    }
}

#[test]
fn a_long_side_is_refused_by_the_header() {
    let png = |width: u32, height: u32| {
        let mut png = encoded(ImageFormat::Png);
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32fast::hash(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&sum);
        decode(&png).unwrap_err()
    };
    for (width, height) in [(1, 64_000_000), (64_000_000, 1), (65_536, 1)] {
        let error = png(width, height);
        assert!(matches!(error, PictureError::TooLong { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            format!("the picture has {width} x {height} pixels: at most 65535 on either side work")
        );
    }
    assert!(matches!(png(20_000, 20_000), PictureError::TooLarge { .. }));
}
