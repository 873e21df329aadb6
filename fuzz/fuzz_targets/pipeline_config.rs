//! `pipeline.config` of TensorFlow's Object Detection API. One that is read describes a network.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vision::ssd::{Config, tensors};

fuzz_target!(init: fuzz::limit_memory(16, 64), |text: &str| {
    match Config::parse(text) {
        Ok(config) => assert!(tensors(&config).iter().all(|(_, shape)| !shape.contains(&0))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
