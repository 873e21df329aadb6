//! PNG files: their chunks, in front of the `image` crate's decoder.
//!
//! The decoder gets the critical chunks and the transparency only. It would inflate a profile or a text without a useful limit,
//! and it reads no EXIF behind the pixels.

use std::io::Read;

use flate2::read::ZlibDecoder;
use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients, ToneReprCurve,
    TransferCharacteristics,
};

use crate::colour::{self, MAX_PROFILE_BYTES};

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// Length, type and checksum of a chunk, in bytes.
const FRAME: usize = 12;

/// What a PNG file holds.
#[derive(Debug, Default)]
pub(crate) struct Png<'a> {
    /// The file without its other chunks, and with an end.
    pub(crate) pixels: Vec<u8>,
    /// Whether the file has its end. Without it, the pixels may be whole all the same: the decoder finds out.
    pub(crate) ended: bool,
    pub(crate) exif: Option<&'a [u8]>,
    colours: Colours<'a>,
}

/// The chunks that describe colours, each the first of its kind in front of palette and pixels, with a right checksum.
#[derive(Debug, Default)]
struct Colours<'a> {
    cicp: Option<&'a [u8]>,
    iccp: Option<&'a [u8]>,
    srgb: Option<&'a [u8]>,
    gama: Option<&'a [u8]>,
    chrm: Option<&'a [u8]>,
}

impl<'a> Png<'a> {
    /// Reads the chunks of a file (PNG 3rd edition, 5.3), up to its end or to where it breaks off.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut png = Self { pixels: Vec::with_capacity(bytes.len()), ..Self::default() };
        png.pixels.extend(SIGNATURE);
        let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
        let mut early = true;
        while let Some((head, body)) = rest.split_first_chunk::<8>() {
            let [a, b, c, d, name @ ..] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            // What is no chunk stands where the end should be.
            if !name.iter().all(u8::is_ascii_alphabetic) {
                break;
            }
            early &= !matches!(&name, b"PLTE" | b"IDAT");
            let Some(checked) = length.checked_add(4).filter(|checked| *checked <= body.len()) else {
                // The last chunk is cut. Its pixels may be whole: only the checksum may be absent.
                if name == *b"IDAT" {
                    png.append(name, &body[..length.min(body.len())]);
                }
                break;
            };
            let data = &body[..length];
            if name == *b"IEND" {
                png.ended = true;
                break;
            }
            // Critical chunks have a capital letter first (5.4).
            if name[0].is_ascii_uppercase() || name == *b"tRNS" {
                png.pixels.extend(&rest[..length + FRAME]);
            } else if sound(name, data, &body[length..checked]) {
                png.note(name, data, early);
            }
            rest = &body[checked..];
        }
        png.append(*b"IEND", &[]);
        png
    }

    fn append(&mut self, name: [u8; 4], data: &[u8]) {
        // A chunk's length has 31 bits, and a cut one is no longer than it says.
        self.pixels.extend((data.len() as u32).to_be_bytes());
        self.pixels.extend(name);
        self.pixels.extend(data);
        self.pixels.extend(checksum(name, data).to_be_bytes());
    }

    fn note(&mut self, name: [u8; 4], data: &'a [u8], early: bool) {
        let place = match &name {
            b"eXIf" => &mut self.exif,
            b"cICP" if early => &mut self.colours.cicp,
            b"iCCP" if early => &mut self.colours.iccp,
            b"sRGB" if early => &mut self.colours.srgb,
            b"gAMA" if early => &mut self.colours.gama,
            b"cHRM" if early => &mut self.colours.chrm,
            _ => return,
        };
        place.get_or_insert(data);
    }

    /// The profile of the pixels. `None`: sRGB.
    ///
    /// The order is that of PNG 3rd edition, 4.3: cICP, iCCP, sRGB, then gAMA with cHRM. As in Chromium, gAMA alone means sRGB's
    /// primaries, and cHRM alone is ignored. A chunk that cannot be used makes room for the next one.
    pub(crate) fn profile(&self) -> Option<ColorProfile> {
        let Colours { cicp, iccp, srgb, gama, chrm } = &self.colours;
        if let Some(code_points) = cicp.and_then(code_points) {
            return Some(ColorProfile::new_from_cicp(code_points));
        }
        if let Some(profile) = iccp.and_then(inflated).and_then(|icc| colour::profile(&icc)) {
            return Some(profile);
        }
        if srgb.is_some() {
            return None;
        }
        measured((*gama)?, *chrm)
    }
}

fn checksum(name: [u8; 4], data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&name);
    hasher.update(data);
    hasher.finalize()
}

fn sound(name: [u8; 4], data: &[u8], sum: &[u8]) -> bool {
    // The chunks of use are few; the checksums of the others cost time only.
    matches!(&name, b"eXIf" | b"cICP" | b"iCCP" | b"sRGB" | b"gAMA" | b"cHRM")
        && checksum(name, data).to_be_bytes() == sum
}

/// The profile of an iCCP chunk: a name, a zero, the compression method 0, zlib's data. `None`: broken, or longer than
/// [`MAX_PROFILE_BYTES`].
fn inflated(chunk: &[u8]) -> Option<Vec<u8>> {
    let name = chunk.iter().take(80).position(|&byte| byte == 0)?;
    let data = chunk.get(name + 1..)?.strip_prefix(&[0])?;
    let mut profile = Vec::new();
    ZlibDecoder::new(data).take(MAX_PROFILE_BYTES as u64 + 1).read_to_end(&mut profile).ok()?;
    (profile.len() <= MAX_PROFILE_BYTES).then_some(profile)
}

/// The code points of a cICP chunk (ITU-T H.273). `None`: they are none of full-range RGB, or of a display brighter than sRGB's
/// (PQ, HLG), whose pictures would need their highlights compressed.
fn code_points(chunk: &[u8]) -> Option<CicpProfile> {
    let &[primaries, transfer, 0, 1] = chunk else { return None };
    let color_primaries = CicpColorPrimaries::try_from(primaries).ok()?;
    let transfer_characteristics = TransferCharacteristics::try_from(transfer).ok()?;
    let high = matches!(transfer_characteristics, TransferCharacteristics::Smpte2084 | TransferCharacteristics::Hlg);
    let profile = CicpProfile {
        color_primaries,
        transfer_characteristics,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    };
    (!high && ColorProfile::new_from_cicp(profile).is_matrix_shaper()).then_some(profile)
}

/// The profile of a gAMA chunk, and of a cHRM chunk beside it (PNG 3rd edition, 11.3.2): numbers times 100,000. `None`: they are sRGB's, as writers
/// of sRGB add them for readers without its chunk, or make no sense.
fn measured(gama: &[u8], chrm: Option<&[u8]>) -> Option<ColorProfile> {
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(*bytes.first_chunk()?));
    let gama = number(gama)?;
    const SRGB: [u32; 8] = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];
    let mut points = SRGB;
    if let Some(chrm) = chrm {
        for (n, point) in points.iter_mut().enumerate() {
            *point = number(chrm.get(4 * n..)?)?;
        }
    }
    if gama.abs_diff(45_455) <= 100 && points.iter().zip(SRGB).all(|(point, srgb)| point.abs_diff(srgb) <= 100) {
        return None;
    }
    let [white, red, green, blue] = [0, 2, 4, 6].map(|n| {
        let part = |n: usize| points[n] as f32 / 100_000.0;
        Chromaticity::new(part(n), part(n + 1))
    });
    let sensible = |point: Chromaticity| point.y > 0.0 && point.x + point.y <= 1.0;
    if !(1_000..=1_000_000).contains(&gama) || ![white, red, green, blue].into_iter().all(sensible) {
        return None;
    }
    let mut profile = ColorProfile::new_srgb();
    // Those of sRGB, which would be used in place of the curves.
    profile.cicp = None;
    profile.update_rgb_colorimetry(white.to_xyyb(), ColorPrimaries { red, green, blue });
    let curve = ToneReprCurve::Parametric(vec![100_000.0 / gama as f32]);
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    Some(profile)
}
