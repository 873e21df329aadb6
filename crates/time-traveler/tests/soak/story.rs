//! The kinds of a client's story with one portrait, and the photographs for them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

/// The actions of a portrait's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Uploads one photograph.
    One,
    /// Uploads a photograph, and right after it another one.
    Replaced,
    /// Uploads a photograph, another one, and the first again.
    ThereAndBack,
    /// Uploads the same photograph twice.
    Twice,
    /// Uploads a file that is not a picture.
    NoPicture,
    /// Uploads a truncated picture, which only the model server notices.
    Truncated,
    /// Uploads a photograph with invalid ages.
    BadAges,
    /// Uploads a photograph, and sends a `DELETE` as soon as there is a job.
    Cancelled,
    /// As `Cancelled`, and uploads the photograph again.
    CancelledAndAgain,
    /// Uploads a photograph, and sends a `DELETE` when the job has ended.
    Deleted,
    /// As `Deleted`, and uploads the photograph again.
    DeletedAndAgain,
    /// Uploads a photograph, and sends `DELETE`s 0 to 50 ms later, until the portrait is gone.
    Undone,
    /// As `Undone`, and uploads the photograph again at once.
    UndoneAndAgain,
    /// Uploads a photograph, another one soon afterwards, and sends `DELETE`s 0 to 50 ms later, until the portrait is gone.
    ReplacedAndUndone,
}

impl Kind {
    /// The number of each kind in a hundred portraits.
    const SHARES: [(Self, u64); 14] = [
        (Self::One, 34),
        (Self::Replaced, 8),
        (Self::ThereAndBack, 8),
        (Self::Twice, 6),
        (Self::NoPicture, 3),
        (Self::Truncated, 4),
        (Self::BadAges, 3),
        (Self::Cancelled, 6),
        (Self::CancelledAndAgain, 6),
        (Self::Deleted, 5),
        (Self::DeletedAndAgain, 5),
        (Self::Undone, 4),
        (Self::UndoneAndAgain, 4),
        (Self::ReplacedAndUndone, 4),
    ];

    /// The kind of story of a portrait, by seed and number.
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

/// The id of a portrait. No id is the beginning of another.
pub(crate) fn id(number: usize) -> String {
    format!("portrait-{number:06}")
}

/// The colour of a portrait's photograph, which the quick model makes brighter with age. There are few colours, so
/// panels repeat and few have to be decoded.
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
fn the_versions_of_a_photograph_differ_and_every_kind_occurs() {
    assert!((0..1000).all(|number| colour(number, 0) != colour(number, 1)));
    assert_eq!(Kind::SHARES.iter().map(|(_, share)| share).sum::<u64>(), 100);
    for (kind, _) in Kind::SHARES {
        assert!((0..300).any(|number| Kind::of(1, number) == kind), "{kind:?}");
    }
}
