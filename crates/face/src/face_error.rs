use crate::Point;

/// Why a picture has no face that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// None was found.
    #[error(
        "no face was found in the picture of {width} x {height} pixels, in which upright frontal faces from {smallest} \
         pixels wide were looked for: a well lit portrait that looks towards the camera works, or a part of this picture \
         around the face"
    )]
    None {
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
        /// The narrowest face that would have been found, in pixels.
        smallest: u32,
    },
    /// The largest is too small.
    #[error(
        "the largest face in the picture, at ({left}, {top}), is {width} pixels wide: at least {least} are needed; \
         a larger picture of it, or one from closer by, works"
    )]
    TooSmall {
        /// Its leftmost column.
        left: i32,
        /// Its topmost row.
        top: i32,
        /// Its width in pixels.
        width: u32,
        /// What is needed.
        least: u32,
    },
    /// Landmarks that cannot be a face's.
    #[error(
        "the landmarks make no face in the picture of {width} x {height} pixels: a square of {side:.1} pixels around \
         ({:.1}, {:.1}); another picture of the face, or another landmark file, may work",
        middle.x,
        middle.y
    )]
    Landmarks {
        /// The side of the square around the face, in pixels.
        side: f64,
        /// Its middle.
        middle: Point,
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
    },
}

impl FaceError {
    /// A code for programs: `FACE_TOO_SMALL`, else `NO_FACE`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } => "FACE_TOO_SMALL",
            _ => "NO_FACE",
        }
    }
}
