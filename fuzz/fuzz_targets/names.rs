//! The texts of clients and other services: ids, ages, revisions, timestamps, media types. A value that was read is
//! written as a text that is read as the same value.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use pipeline::{Ages, ImageType, InferenceId, Owner, PortraitId, PortraitKey, Revision, Sequencer, Timestamp, keys, strip};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn read<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            assert_eq!(written.parse().ok().as_ref(), Some(&value), "{written:?}");
            Some(value)
        }
        Err(error) => {
            // A message quotes only the beginning of a text, but escapes may lengthen every character.
            assert!(error.to_string().len() < 1000, "{error}");
            None
        }
    }
}

fn stored<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
    let json = serde_json::to_string(value).expect("it is written as JSON");
    assert_eq!(serde_json::from_str::<T>(&json).expect("it is read from JSON"), *value);
}

fuzz_target!(init: fuzz::limit_memory(1, 16), |text: &str| {
    if let Some(id) = read::<PortraitId>(text) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!(id.as_str().bytes().all(is_plain) && id.as_str().len() <= PortraitId::MAX_LEN, "{id}");
        assert!(id.as_str() != "." && id.as_str() != "..");
        assert_eq!(read::<PortraitKey>(text), Some(id.clone().into()));
        stored(&id);
    }
    // Whatever a subject is, a portrait's key has two parts, names the portrait again, and leads to no other folder.
    let owner = Owner::of(text);
    assert_eq!(read::<Owner>(owner.as_str()).as_ref(), Some(&owner));
    assert!(!owner.as_str().contains(['/', '.']) && owner.as_str().len() <= Owner::MAX_PLAIN_LEN, "{owner}");
    if let Some(portrait) = read::<PortraitKey>(text) {
        stored(&portrait);
        let parts = 1 + usize::from(portrait.owner().is_some());
        assert!(text.split('/').count() == parts && text.split('/').all(|part| part != ".." && part != "."), "{text:?}");
        assert_eq!(keys::uploaded(&keys::upload(&portrait)), Some(text));
        let revision = Revision::new("e", "20");
        let input = keys::input(&portrait, &revision, &Sequencer::new("01"));
        let inference = InferenceId::new(&portrait, revision);
        assert!(inference.to_string().len() <= 64, "{inference}");
        assert_eq!(inference.portrait(Some(&input)), Some(portrait));
    }
    if let Some(ages) = read::<Ages>(text) {
        assert!((1..=Ages::MAX_COUNT).contains(&ages.len()) && ages.as_slice().iter().all(|&age| age <= Ages::MAX_AGE));
        stored(&ages);
    }
    if let Ok(ages) = serde_json::from_str::<Ages>(text) {
        assert_eq!(read::<Ages>(&ages.to_string()), Some(ages));
    }
    if let Some(revision) = read::<Revision>(text) {
        stored(&revision);
    }
    if let Some(inference) = read::<InferenceId>(text) {
        // SageMaker's limit for an inference id is 64 characters.
        assert!(inference.to_string().len() <= 64, "{inference}");
    }
    if let Ok(media_type) = text.parse::<ImageType>() {
        assert_eq!(media_type.as_str().parse(), Ok(media_type));
    }
    // The answer of an earlier model server names its model so. A name has no character that separates parameters.
    if !text.contains([';', '"']) && !text.trim().is_empty() {
        assert_eq!(strip::model(&format!("{}; model={text}", strip::MEDIA_TYPE)), Some(text.trim_end()), "{text:?}");
    }
    let sequencer = Sequencer::new(text);
    stored(&sequencer);
    if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        assert_eq!(Sequencer::new(sequencer.as_str()), sequencer);
        assert_eq!(Sequencer::new(sequencer.short()), sequencer);
    }
    let (one, other) = text.split_once(' ').unwrap_or((text, text));
    if let (Some(one), Some(other)) = (read::<Timestamp>(one), read::<Timestamp>(other)) {
        stored(&one);
        // Before the year 0, a greater number is an earlier one.
        if one.to_string().starts_with(char::is_numeric) && other.to_string().starts_with(char::is_numeric) {
            assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()), "{one} and {other}");
        }
        assert!(one.plus_seconds(i64::from(other < one)) >= one);
    }
    drop(keys::split_input(text));
    if let Some((bucket, key)) = keys::split_location(text) {
        assert_eq!(keys::location(bucket, key), text);
    }
});
