//! Pictures with colour profiles become sRGB, as LittleCMS converts them. `make_profiles.py` made the fixtures.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;
use std::path::PathBuf;

use picture::{RgbImage, decode};

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profiles");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn expected(name: &str) -> RgbImage {
    image::load_from_memory(&file(&format!("{name}.expected.png"))).unwrap().into_rgb8()
}

/// The largest and the mean difference of two pictures, in levels.
fn difference(found: &RgbImage, expected: &RgbImage) -> (u8, f64) {
    assert_eq!(found.dimensions(), expected.dimensions());
    let differences = || found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b));
    (differences().max().unwrap(), differences().map(f64::from).sum::<f64>() / found.len() as f64)
}

/// The chunks of a PNG, each whole.
fn chunks(png: &[u8]) -> Vec<&[u8]> {
    let mut rest = &png[8..];
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, next) = rest.split_at(12 + u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize);
        chunks.push(chunk);
        rest = next;
    }
    chunks
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let sum = crc32fast::hash(&[name, data].concat()).to_be_bytes();
    [&(data.len() as u32).to_be_bytes()[..], name, data, &sum].concat()
}

/// A PNG with other chunks between its header and the rest, and without its own profile.
fn with_chunks(png: &[u8], added: &[Vec<u8>]) -> Vec<u8> {
    let mut file = png[..8].to_vec();
    for (n, chunk) in chunks(png).into_iter().enumerate() {
        if &chunk[4..8] != b"iCCP" {
            file.extend(chunk);
        }
        if n == 0 {
            file.extend(added.concat());
        }
    }
    file
}

fn iccp(profile: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(b"name\0\0".to_vec(), flate2::Compression::default());
    zlib.write_all(profile).unwrap();
    chunk(b"iCCP", &zlib.finish().unwrap())
}

/// The ICC profile of a fixture in JPEG, and the file's parts around its segment.
fn jpeg_profile(jpeg: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let at = jpeg.windows(12).position(|bytes| bytes == b"ICC_PROFILE\0").unwrap();
    let end = at - 2 + usize::from(u16::from_be_bytes([jpeg[at - 2], jpeg[at - 1]]));
    (&jpeg[..at - 4], &jpeg[at + 14..end], &jpeg[end..])
}

#[test]
fn profiles_become_srgb_as_littlecms_converts_them() {
    // Two levels: LittleCMS and moxcms round the matrices of 8 bits differently. Through a table of inks of 7 levels, twelve
    // at most: LittleCMS interpolates in tetrahedra, moxcms in cubes. Cubes in double precision differ from LittleCMS by nine.
    for (names, most, mean) in [
        (&["display-p3", "adobe-rgb", "prophoto"][..], 2, 0.5),
        (&["display-p3-16", "adobe-rgb-16", "prophoto-16", "alpha", "palette", "cicp", "chrm", "grey"], 2, 0.5),
        (&["inks", "ycck"], 12, 0.6),
    ] {
        for name in names {
            for ending in ["png", "jpg", "webp"] {
                let name = format!("{name}.{ending}");
                if !PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profiles").join(&name).exists() {
                    continue;
                }
                let found = difference(&decode(&file(&name)).unwrap(), &expected(&name));
                assert!(found.0 <= most && found.1 <= mean, "{name}: {found:?}");
            }
        }
    }
}

#[test]
fn the_profile_of_srgb_changes_nothing() {
    assert_eq!(decode(&file("srgb.png")).unwrap(), expected("srgb.png"));
}

#[test]
fn a_profile_in_several_segments_is_read_in_their_order() {
    let jpeg = file("display-p3.jpg");
    let (before, profile, after) = jpeg_profile(&jpeg);
    let whole = decode(&jpeg).unwrap();
    let plain = decode(&[before, after].concat()).unwrap();
    assert!(difference(&whole, &plain).0 > 10);
    let parts: Vec<&[u8]> = profile.chunks(profile.len().div_ceil(3)).collect();
    let segment = |n: usize| {
        let length = (parts[n].len() + 16) as u16;
        [&[0xff, 0xe2], &length.to_be_bytes()[..], b"ICC_PROFILE\0", &[n as u8 + 1, 3], parts[n]].concat()
    };
    for order in [[0, 1, 2], [2, 0, 1]] {
        let segments = order.map(segment).concat();
        assert_eq!(decode(&[before, &segments, after].concat()).unwrap(), whole, "{order:?}");
    }
    // One is missing: the profile is broken, and the picture is taken without it.
    let segments = [segment(0), segment(2)].concat();
    assert_eq!(decode(&[before, &segments, after].concat()).unwrap(), plain);
}

#[test]
fn a_profile_that_is_broken_or_of_other_pixels_is_ignored() {
    let png = file("display-p3.png");
    let plain = decode(&with_chunks(&png, &[])).unwrap();
    let jpeg = file("display-p3.jpg");
    let (_, p3, _) = jpeg_profile(&jpeg);
    assert_eq!(decode(&with_chunks(&png, &[iccp(p3)])).unwrap(), decode(&png).unwrap());
    let (grey_jpeg, inks_jpeg) = (file("grey.jpg"), file("inks.jpg"));
    let (_, grey, _) = jpeg_profile(&grey_jpeg);
    let (_, inks, _) = jpeg_profile(&inks_jpeg);
    let mut wrong_sum = iccp(p3);
    *wrong_sum.last_mut().unwrap() ^= 1;
    let mut link = p3.to_vec();
    link[12..16].copy_from_slice(b"link");
    let cases = [
        ("no zlib", chunk(b"iCCP", b"name\0\0hello")),
        ("no name", chunk(b"iCCP", b"name")),
        ("another compression", chunk(b"iCCP", b"name\0\x01hello")),
        ("no ICC", iccp(b"hello")),
        ("cut", iccp(&p3[..p3.len() / 2])),
        ("a wrong checksum", wrong_sum),
        ("a link of two devices", iccp(&link)),
        ("of grey", iccp(grey)),
        ("of inks", iccp(inks)),
        ("cHRM alone", chunk(b"cHRM", &[0; 32])),
        ("PQ", chunk(b"cICP", &[9, 16, 0, 1])),
        ("narrow range", chunk(b"cICP", &[12, 13, 0, 0])),
    ];
    for (case, added) in cases {
        assert_eq!(decode(&with_chunks(&png, &[added])).unwrap(), plain, "{case}");
    }
    // Grey pixels with a profile of RGB, in JPEG.
    let (before, _, after) = jpeg_profile(&grey_jpeg);
    let (p3_before, _, p3_after) = jpeg_profile(&jpeg);
    let segment = &jpeg[p3_before.len()..jpeg.len() - p3_after.len()];
    assert_eq!(decode(&[before, segment, after].concat()).unwrap(), decode(&[before, after].concat()).unwrap());
}

#[test]
fn pngs_own_chunks_have_an_order() {
    let png = file("display-p3.png");
    let jpeg = file("adobe-rgb.jpg");
    let (_, adobe, _) = jpeg_profile(&jpeg);
    let cicp = chunk(b"cICP", &[12, 13, 0, 1]);
    let srgb = chunk(b"sRGB", &[0]);
    let chrm = file("chrm.png");
    let measured: Vec<Vec<u8>> = chunks(&chrm)[1..3].iter().map(|chunk| chunk.to_vec()).collect();
    let decoded = |added: &[Vec<u8>]| decode(&with_chunks(&png, added)).unwrap();
    let plain = decoded(&[]);
    assert_eq!(decoded(&[iccp(adobe), cicp.clone()]), decoded(&[cicp]));
    assert_eq!(decoded(&[srgb.clone(), iccp(adobe)]), decoded(&[iccp(adobe)]));
    assert_eq!(decoded(&[measured.clone(), vec![srgb]].concat()), plain);
    assert!(difference(&decoded(&measured), &plain).0 > 10);
    // What writers of sRGB add for old readers.
    let numbers = [31270u32, 32900, 64000, 33000, 30000, 60000, 15000, 6000];
    let srgb_points: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    assert_eq!(decoded(&[chunk(b"gAMA", &45_455u32.to_be_bytes()), chunk(b"cHRM", &srgb_points)]), plain);
}

/// Chromium shows 128, 64, 192 as 188, 137, 225 where gAMA says that the values are linear.
#[test]
fn gama_alone_means_the_primaries_of_srgb() {
    let png = file("display-p3.png");
    let decoded = |added: &[Vec<u8>]| decode(&with_chunks(&png, added)).unwrap();
    let srgb =
        |linear: f64| if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    assert_eq!((255.0 * srgb(128.0 / 255.0)).round(), 188.0);
    let linear = decoded(&[chunk(b"gAMA", &100_000u32.to_be_bytes())]);
    for (value, plain) in linear.as_raw().iter().zip(decoded(&[]).as_raw()) {
        let right = 255.0 * srgb(f64::from(*plain) / 255.0);
        assert!((f64::from(*value) - right).abs() <= 2.0, "{plain} became {value}, not {right}");
    }
    assert_eq!(decoded(&[chunk(b"gAMA", &45_455u32.to_be_bytes())]), decoded(&[]));
}

#[test]
fn a_huge_profile_is_not_inflated() {
    let png = file("display-p3.png");
    // 256 MB of zeros, a megabyte at a time, so that this test does not hold them itself. The limit is 8 MB.
    let mut zlib = flate2::write::ZlibEncoder::new(b"name\0\0".to_vec(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        zlib.write_all(&zeros).unwrap();
    }
    let bomb = with_chunks(&png, &[chunk(b"iCCP", &zlib.finish().unwrap())]);
    assert!(bomb.len() < 8 << 20, "{} bytes", bomb.len());
    let before = peak();
    assert_eq!(decode(&bomb).unwrap(), decode(&with_chunks(&png, &[])).unwrap());
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after - before < 64 << 20, "{} bytes more", after - before);
    }
}

/// The memory that this process has held at most since the peak was reset, in bytes. `None` where the system does not say.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// Broken profiles: a picture or an error, never a panic.
#[test]
fn no_profile_panics() {
    let sources = ["display-p3.jpg", "adobe-rgb.jpg", "grey.jpg", "inks.jpg"].map(file);
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..400 {
        let source = &sources[round % 4];
        let (before, profile, _) = jpeg_profile(source);
        let start = before.len() + 18;
        let mut bytes = source.clone();
        for _ in 0..1 + random(4) {
            // Header, table of tags and their beginnings.
            let at = start + random(profile.len().min(600));
            bytes[at] = if random(2) == 0 { random(256) as u8 } else { [0, 1, 0x7f, 0xff][random(4)] };
        }
        let _ = decode(&bytes);
    }
}
