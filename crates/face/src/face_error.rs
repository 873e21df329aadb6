use crate::Point;

/// Why no face of a picture can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// No face was found.
    #[error(
        "no face was found in the picture of {width} x {height} pixels, which was searched for upright frontal faces \
         from {smallest} pixels wide: a well lit portrait that looks towards the camera works, or a part of this \
         picture around the face"
    )]
    None {
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
        /// The narrowest face that would have been found, in pixels.
        smallest: u32,
    },
    /// A network found no face.
    #[error(
        "no face was found in the picture of {width} x {height} pixels, which a network has searched: a well lit picture of the \
         face works, or a part of this picture around it"
    )]
    NotDetected {
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
    },
    /// The largest face is too small.
    #[error(
        "the largest face in the picture, at ({left}, {top}), is {width} pixels wide: at least {least} are needed; \
         a larger picture of the face, or one from closer by, works"
    )]
    TooSmall {
        /// Its leftmost column.
        left: i32,
        /// Its topmost row.
        top: i32,
        /// Its width in pixels.
        width: u32,
        /// Width and height of the picture in pixels.
        picture: [u32; 2],
        /// The least width that is accepted, in pixels.
        least: u32,
    },
    /// The landmarks cannot belong to a face.
    #[error(
        "the landmarks are not those of a face in the picture of {width} x {height} pixels: their square has sides of \
         {side:.1} pixels and its middle at ({:.1}, {:.1}); another picture of the face, or another landmark file, may \
         work",
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
