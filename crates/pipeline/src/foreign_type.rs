/// A picture format that the pipeline does not accept. Its message says which, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is {}, which cannot be read here: {}", self.name(), self.advice())]
pub enum ForeignType {
    /// HEIF with HEVC, as iPhones save photographs.
    Heic,
    /// HEIF with AV1.
    Avif,
    /// HEIF with a codec that the first bytes do not name.
    Heif,
    /// JPEG XL.
    JpegXl,
    /// JPEG 2000.
    Jpeg2000,
    /// GIF.
    Gif,
    /// BMP.
    Bmp,
    /// TIFF, and the raw files of most cameras.
    Tiff,
}

impl ForeignType {
    /// The format as messages name a file of it, such as `a GIF picture`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heic => "a HEIC picture",
            Self::Avif => "an AVIF picture",
            Self::Heif => "a HEIF picture",
            Self::JpegXl => "a JPEG XL picture",
            Self::Jpeg2000 => "a JPEG 2000 picture",
            Self::Gif => "a GIF picture",
            Self::Bmp => "a BMP picture",
            Self::Tiff => "a TIFF picture or a camera's raw file",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Heic => {
                "export it as JPEG, or take JPEG photographs (on an iPhone, Settings > Camera > Formats > Most Compatible)"
            }
            _ => "export it as JPEG, PNG or WebP",
        }
    }

    /// The format that these leading bytes announce.
    ///
    /// HEIF names its codec among the brands of its first box (ISO/IEC 14496-12, 4.3; 23008-12, annex B): the main one, then the
    /// compatible ones. `mif1` and `msf1` stand for any codec.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            // The length, two reserved words, and the offset of the pixels, which is below 64 kB.
            [b'B', b'M', _, _, _, _, _, _, _, _, _, _, 0, 0, ..] => Some(Self::Bmp),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Some(Self::Tiff),
            [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some(Self::JpegXl),
            [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some(Self::Jpeg2000),
            [a, b, c, d, b'f', b't', b'y', b'p', brands @ ..] => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                let brands = &brands[..brands.len().min(length.saturating_sub(8))];
                // The second word is the version of the main brand.
                let named = brands.chunks_exact(4).enumerate().filter(|(n, _)| *n != 1).map(|(_, brand)| brand);
                let codec = |brand: &[u8]| match brand {
                    b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some(Self::Heic),
                    b"avif" | b"avis" => Some(Self::Avif),
                    _ => None,
                };
                let general = named.clone().any(|brand| matches!(brand, b"mif1" | b"msf1" | b"mif2"));
                named.clone().find_map(codec).or(general.then_some(Self::Heif))
            }
            _ => None,
        }
    }

    /// The format of a media type, in lower case and without parameters.
    pub(crate) fn of_media_type(essence: &str) -> Option<Self> {
        Some(match essence {
            "image/heic" | "image/heic-sequence" => Self::Heic,
            "image/heif" | "image/heif-sequence" => Self::Heif,
            "image/avif" | "image/avif-sequence" => Self::Avif,
            "image/jxl" => Self::JpegXl,
            "image/jp2" | "image/jpx" | "image/j2k" => Self::Jpeg2000,
            "image/gif" => Self::Gif,
            "image/bmp" | "image/x-bmp" | "image/x-ms-bmp" => Self::Bmp,
            "image/tiff" | "image/x-adobe-dng" => Self::Tiff,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageType;

    /// The first box of a HEIF file.
    fn brands(main: &[u8; 4], compatible: &[&[u8; 4]]) -> Vec<u8> {
        let length = 16 + 4 * compatible.len() as u32;
        let compatible = compatible.iter().flat_map(|brand| brand.iter().copied());
        let head = [&length.to_be_bytes()[..], b"ftyp", main, &[0; 4]].concat();
        head.into_iter().chain(compatible).chain(*b"\0\0\0\x08freeheic").collect()
    }

    #[test]
    fn heif_is_named_by_its_brands() {
        for (main, compatible, expected) in [
            (b"heic", &[b"mif1", b"heic"][..], Some(ForeignType::Heic)),
            (b"heix", &[], Some(ForeignType::Heic)),
            (b"hevc", &[b"msf1"], Some(ForeignType::Heic)),
            (b"mif1", &[b"mif1", b"heic", b"MiHE"], Some(ForeignType::Heic)),
            (b"msf1", &[b"hevc"], Some(ForeignType::Heic)),
            (b"avif", &[b"mif1", b"miaf"], Some(ForeignType::Avif)),
            (b"mif1", &[b"miaf", b"avif"], Some(ForeignType::Avif)),
            (b"avis", &[], Some(ForeignType::Avif)),
            (b"mif1", &[b"miaf"], Some(ForeignType::Heif)),
            // A film, and brands behind the box's end.
            (b"isom", &[b"mp42"], None),
        ] {
            let bytes = brands(main, compatible);
            assert_eq!(ForeignType::sniff(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
            assert_eq!(ImageType::sniff(&bytes), None);
            assert!(bytes.len() - 12 <= ImageType::SNIFF_BYTES);
        }
        let message = ForeignType::Heic.to_string();
        assert!(message.contains("Most Compatible") && message.contains("JPEG"), "{message}");
    }

    #[test]
    fn other_formats_are_named_by_their_signatures() {
        for (bytes, expected) in [
            (&b"GIF89a\x01\0\x01\0"[..], Some(ForeignType::Gif)),
            (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0", Some(ForeignType::Bmp)),
            (b"II*\0\x08\0\0\0", Some(ForeignType::Tiff)),
            (b"MM\0*\0\0\0\x08", Some(ForeignType::Tiff)),
            (b"\xff\x0a\0\0", Some(ForeignType::JpegXl)),
            (b"\0\0\0\x0cjP  \r\n\x87\n", Some(ForeignType::Jpeg2000)),
            (b"BM", None),
            (b"hello, I am a text file", None),
            (b"\0\0\0\x04ftypheic", None),
            (b"", None),
        ] {
            assert_eq!(ForeignType::sniff(bytes), expected, "{bytes:?}");
        }
    }
}
