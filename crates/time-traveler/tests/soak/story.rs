//! What a client does with one portrait.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

/// What a portrait's client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One photograph.
    One,
    /// Another one right after it.
    Replaced,
    /// Another one, and the first again.
    ThereAndBack,
    /// The same one twice.
    Twice,
    /// What is no picture at all.
    NoPicture,
    /// A picture that breaks off, which only the model server sees.
    Torn,
    /// A photograph whose ages are none.
    BadAges,
    /// A photograph, and a `DELETE` as soon as there is a job.
    Cancelled,
    /// The same, and then the photograph again.
    CancelledAndAgain,
    /// A photograph, and a `DELETE` when the job has ended.
    Deleted,
    /// The same, and then the photograph again.
    DeletedAndAgain,
}

impl Kind {
    /// Of a hundred portraits.
    const SHARES: [(Self, u64); 11] = [
        (Self::One, 46),
        (Self::Replaced, 8),
        (Self::ThereAndBack, 8),
        (Self::Twice, 6),
        (Self::NoPicture, 3),
        (Self::Torn, 4),
        (Self::BadAges, 3),
        (Self::Cancelled, 6),
        (Self::CancelledAndAgain, 6),
        (Self::Deleted, 5),
        (Self::DeletedAndAgain, 5),
    ];

    /// The kind of a seed's portrait.
    pub(crate) fn of(seed: u64, number: usize) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, number).hash(&mut hasher);
        let mut left = hasher.finish() % 100;
        for (kind, share) in Self::SHARES {
            match left.checked_sub(share) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        Self::One
    }
}

/// The name of a portrait: no name is the beginning of another.
pub(crate) fn id(number: usize) -> String {
    format!("portrait-{number:06}")
}

/// The colour of a portrait's photograph, which the quick model makes brighter with age. Few enough that the same panel comes often.
pub(crate) fn colour(number: usize, version: usize) -> [u8; 3] {
    let number = number * 3 + version;
    [number % 5, number / 5 % 5, number / 25 % 5].map(|level| 20 + 30 * level as u8)
}

/// A photograph of one colour.
pub(crate) fn photograph(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(40, 40, Rgb(colour)).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_portrait_has_photographs_of_its_own_and_every_story_is_told() {
    assert!((0..1000).all(|number| colour(number, 0) != colour(number, 1)));
    assert_eq!(Kind::SHARES.iter().map(|(_, share)| share).sum::<u64>(), 100);
    for (kind, _) in Kind::SHARES {
        assert!((0..300).any(|number| Kind::of(1, number) == kind), "{kind:?}");
    }
}
