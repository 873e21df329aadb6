//! `pipeline.config` of TensorFlow's Object Detection API. What is read stays within its bounds; what is refused is named.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vision::ssd::Config;
use vision::ssd::training::TrainingSettings;

fuzz_target!(init: fuzz::limit_memory(16, 64), |text: &str| {
    match Config::parse(text) {
        Ok(config) => {
            assert!((1..=10_000).contains(&config.classes));
            assert!(config.picture.iter().all(|side| (32..=1536).contains(side)));
            assert_eq!(config.anchors.scales.len(), 7);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match TrainingSettings::parse(text) {
        Ok(settings) => assert!((1..=1024).contains(&settings.batch)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
