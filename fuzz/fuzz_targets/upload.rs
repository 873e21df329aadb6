//! A photograph as anybody uploads it: told by its first bytes, and decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use picture::{MAX_PIXELS, PictureError};
use pipeline::ImageType;

// The largest picture there may be: 64 million pixels of 8 bytes, once decoded and once turned, and a decoder's own room.
fuzz_target!(init: fuzz::limit_memory(1200, 1536), |bytes: &[u8]| {
    let told = ImageType::sniff(bytes);
    match picture::decode(bytes) {
        Ok(picture) => {
            let (width, height) = picture.dimensions();
            assert!(told.is_some(), "decoded, though its first bytes tell nothing");
            assert!((1..=MAX_PIXELS).contains(&(u64::from(width) * u64::from(height))), "{width} x {height}");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(matches!(error, PictureError::Unsupported), told.is_none(), "{told:?} and {error:?}");
        }
    }
});
