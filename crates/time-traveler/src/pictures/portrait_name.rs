//! A portrait's id, from the name of its file.

use std::path::Path;

use deunicode::deunicode;
use icu_normalizer::ComposingNormalizerBorrowed;
use pipeline::PortraitId;
use sha2::{Digest, Sha256};

use crate::hex::hex;

/// Hex digits of a name's hash: two of a thousand names agree in them by a chance of 1 to 8000.
const DIGITS: usize = 8;
/// The id's beginning where no letter of a name can be written in ASCII.
const NAMELESS: &str = "portrait";

/// The id: the file's name without its extension. Letters are written in ASCII (`Иван` as `Ivan`), and other characters that are not
/// allowed in an id become `-`.
///
/// Where letters were replaced, or the end was cut off, a hash of the name follows, since other names would become the same id.
pub(crate) fn id_of(photo: &Path) -> PortraitId {
    let stem = photo.file_stem().unwrap_or_default();
    let hash = |bytes: &[u8]| hex(&Sha256::digest(bytes)[..DIGITS / 2]);
    let (name, hash) = match stem.to_str() {
        Some(name) => {
            // Systems differ in whether é is one character or e and an accent.
            let name = ComposingNormalizerBorrowed::new_nfc().normalize(name);
            (name.clone().into_owned(), hash(name.as_bytes()))
        }
        None => (stem.to_string_lossy().into_owned(), hash(stem.as_encoded_bytes())),
    };
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let ascii: String = deunicode(&name).chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
    let plain = ascii.trim_start_matches(['.', '_', '-']);
    let is_exact = name.is_ascii() && (1..=PortraitId::MAX_LEN).contains(&plain.len());
    let id = if is_exact {
        plain.to_owned()
    } else {
        let beginning = &plain[..plain.len().min(PortraitId::MAX_LEN - 1 - DIGITS)];
        let beginning = beginning.trim_end_matches(['.', '_', '-']);
        format!("{}-{hash}", if beginning.is_empty() { NAMELESS } else { beginning })
    };
    id.parse().unwrap_or_else(|error: pipeline::IdError| unreachable!("{error}"))
}

/// Whether a file's name without its extension is the id itself.
pub(crate) fn is_id(photo: &Path, id: &PortraitId) -> bool {
    photo.file_stem().is_some_and(|stem| stem == id.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(path: &str) -> String {
        id_of(Path::new(path)).to_string()
    }

    #[test]
    fn names_that_fit_stay() {
        assert_eq!(id("photos/Ada.jpg"), "Ada");
        assert_eq!(id("photos/Ada Lovelace.jpg"), "Ada-Lovelace");
        assert_eq!(id("..hidden.png"), "hidden");
        assert_eq!(id(&format!("{}.png", "x".repeat(48))), "x".repeat(48));
        assert!(is_id(Path::new("photos/Ada.jpg"), &"Ada".parse().unwrap()));
        assert!(!is_id(Path::new("Ada Lovelace.jpg"), &"Ada-Lovelace".parse().unwrap()));
    }

    #[test]
    fn letters_are_written_in_ascii() {
        for (name, beginning) in
            [("José", "Jose-"), ("Иван", "Ivan-"), ("日本", "Ri-Ben-"), ("Ἀθηνᾶ", "Athena-"), ("🙂", "slight-smile-")]
        {
            let id = id(&format!("{name}.jpg"));
            assert!(id.starts_with(beginning), "{name} is {id}");
        }
        assert!(id("!!!.jpg").starts_with("portrait-") && id("").starts_with("portrait-"));
    }

    #[test]
    fn names_that_lose_letters_or_their_end_stay_apart() {
        let long = "x".repeat(60);
        let names = [
            "日本",
            "東京",
            "Иван",
            "Мария",
            "José",
            "Josè",
            "Jose",
            "é",
            "!!!",
            "???",
            "",
            "portrait",
            &long,
            &long[..48],
            &long[..49],
        ];
        let ids: BTreeSet<String> = names.iter().map(|name| id(&format!("{name}.jpg"))).collect();
        assert_eq!(ids.len(), names.len(), "{ids:?}");
    }

    #[test]
    fn both_forms_of_an_accented_letter_are_one_name() {
        assert_eq!(id("Jos\u{e9}.jpg"), id("Jose\u{301}.jpg"));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_stay_apart() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let id = |bytes: &[u8]| id_of(Path::new(OsStr::from_bytes(bytes)));
        assert_ne!(id(b"a\xff.jpg"), id(b"a\xfe.jpg"));
    }
}
