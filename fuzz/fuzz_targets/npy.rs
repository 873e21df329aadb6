//! A strip from a model server is split. The first byte of the input holds the job's options, and the rest is a `.npy`.
#![no_main]

use lambda::PanelFormat;
use libfuzzer_sys::{Corpus, fuzz_target};
use pipeline::strip;

// A strip of one age takes 6 MB. Each of its two panels takes 3 MB as pixels, and at most 3 MB as a picture.
fuzz_target!(init: fuzz::limit_memory(16, 64), |bytes: &[u8]| -> Corpus {
    let Some((&asked, npy)) = bytes.split_first() else { return Corpus::Reject };
    let ages = 1 + usize::from(asked & 15);
    let format = if asked & 16 == 0 { PanelFormat::Jpeg } else { PanelFormat::Png };
    // Whole strips are too long for the fuzzer to find, so the pixels are appended here.
    let has_pixels = asked & 32 != 0 && ages == 1;
    let mut npy = npy.to_vec();
    if has_pixels {
        npy.resize(npy.len() + strip::PANEL * strip::row_bytes(ages), 0);
    }
    match lambda::split(&npy, ages, format) {
        Ok(panels) => {
            assert!(has_pixels);
            assert!(panels.iter().map(|panel| panel.number).eq(0..=ages));
            assert!(panels.iter().all(|panel| !panel.bytes.is_empty()));
            // Encoding is slow and covers nothing new, so such inputs are not kept.
            Corpus::Reject
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Corpus::Keep
        }
    }
});
