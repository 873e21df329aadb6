//! An uploaded photograph is recognized by its first bytes, and decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use picture::{MAX_PIXELS, PictureError};
use pipeline::ImageType;

// The largest picture has 64 million pixels of 8 bytes. It is decoded, then turned upright, and the decoder needs
// memory too.
fuzz_target!(init: fuzz::limit_memory(1200, 1536), |bytes: &[u8]| {
    let recognized = ImageType::sniff(bytes);
    match picture::decode(bytes) {
        Ok(picture) => {
            let (width, height) = picture.dimensions();
            assert!(recognized.is_some(), "a picture was decoded that its first bytes do not identify");
            assert!((1..=MAX_PIXELS).contains(&(u64::from(width) * u64::from(height))), "{width} x {height}");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let unsupported = matches!(error, PictureError::Unsupported);
            assert_eq!(unsupported, recognized.is_none(), "{recognized:?} and {error:?}");
        }
    }
});
