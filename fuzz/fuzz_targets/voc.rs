//! Documents of Pascal VOC.
#![no_main]

use dataset::formats::voc::Document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::limit_memory(16, 64), |text: &str| {
    match Document::parse(text) {
        Ok(document) => assert!(document.objects.len() <= text.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
