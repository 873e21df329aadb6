//! Label maps. A map that is read can be written, and is read as the same.
#![no_main]

use dataset::formats::label_map::LabelMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::limit_memory(16, 64), |text: &str| {
    match LabelMap::parse(text) {
        Ok(map) => assert_eq!(LabelMap::parse(&map.text()), Ok(map)),
        Err(error) => assert!(error.to_string().starts_with("line ")),
    }
});
