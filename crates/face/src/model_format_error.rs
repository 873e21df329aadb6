/// Why a face model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceModelFormatError {
    /// The file ends inside a value.
    #[error("the file ends at byte {at}, within {what}: it is cut short, or not a face model of this kind")]
    Truncated {
        /// The value that is incomplete.
        what: &'static str,
        /// The length of the file.
        at: usize,
    },
    /// A byte that does not start a number in dlib's format.
    #[error("byte {at} ({byte:#04x}) does not start a number in dlib's format, where {what} is expected")]
    NoNumber {
        /// The number that is expected.
        what: &'static str,
        /// The control byte, which gives the length and the sign of a number.
        byte: u8,
        /// Its place in the file.
        at: usize,
    },
    /// A number that is out of range or not supported.
    #[error("{what} is {found} (byte {at}): {expected} works")]
    Value {
        /// The meaning of the number.
        what: &'static str,
        /// The number.
        found: String,
        /// The values that work.
        expected: String,
        /// Its place in the file.
        at: usize,
    },
    /// A tree that is not complete.
    #[error("a tree has {count} splits: one less than a power of two works")]
    Splits {
        /// The number of its splits.
        count: usize,
    },
    /// A split that compares a pixel which its cascade does not have.
    #[error("a split compares pixel {index} of a cascade that has {pixels}")]
    Pixel {
        /// The pixel, from 0.
        index: usize,
        /// The number of the cascade's pixels.
        pixels: usize,
    },
    /// A built-in model that cannot be decompressed.
    #[error("the built-in model cannot be decompressed")]
    BuiltIn,
    /// Bytes after the end of the model.
    #[error("{extra} bytes follow the model's end at byte {at}: the file is not a face model of this kind")]
    Trailing {
        /// The number of bytes.
        extra: usize,
        /// The place where the model ends.
        at: usize,
    },
}
