//! Detects, landmarks and aligns faces with dlib's models and FFHQ's crop.
//!
//! A [`Detector`] finds faces by histograms of oriented gradients (HOG). A [`ShapePredictor`] places 68 [`Landmarks`]
//! on each face, and [`align()`] cuts the face out as face GANs expect it. A [`FaceFinder`] picks the face of a
//! portrait. Both models are read from dlib's own files; small ones are built in. The answers are dlib's, several times
//! as fast.
//!
//! Pictures are 8-bit RGB and upright. The crate does no I/O and has no unsafe code.
//!
//! # Map
//!
//! | file | noun |
//! |---|---|
//! | `finder` | which face of a portrait is used, and at which scales a large picture is searched |
//! | `detector` | pyramid levels, scanning windows, non-maximum suppression |
//! | `resize`, `gradient`, `hog` | a pyramid level's pixels, its gradients, its 31 planes of features |
//! | `filter`, `svd` | linear filters, as sums of separable ones |
//! | `shape_predictor`, `landmarks` | the cascade of regression trees, the 68 points |
//! | `align`, `quad`, `quad_transform` | the crop: its steps, its square, its sampling |
//! | `lanczos`, `padding` | shrinking before the crop; pixels beyond the picture's edge |
//! | `dlib_reader`, `model_format_error` | the numbers of dlib's files; why a file cannot be used |
//! | `built_in`, `packed`, `rectangle` | the built-in models, a picture of one `u32` a pixel, a box |
//! | `face_error` | why no face of a picture can be used |
//!
//! # To the last bit where it matters
//!
//! The features are normalized, so one level of noise in a flat region counts like an edge, and one level's difference
//! in a pixel moves scores. Three things are therefore kept exactly:
//! - Pictures are resized with dlib's single-precision operations, in dlib's order.
//! - Ties between colour channels are decided as dlib's vector code decides them, which is different in the last
//!   columns.
//! - Callers decode JPEGs to libjpeg-turbo's pixels.
//!
//! The order of operations is changed only where it cannot change a result. A gradient's direction follows from four
//! integer comparisons instead of eighteen products. One vector adds a pixel to four histograms. A filter runs over
//! strips that stay in the nearest cache.
//!
//! # Vector units
//!
//! `pulp` chooses the instructions at run time. Kernels are `WithSimd` structures, not closures, and avoid
//! `array::map`: code that is not inlined into the dispatched function is compiled for the oldest machine.

mod align;
mod built_in;
mod detector;
mod dlib_reader;
mod face_error;
mod filter;
mod finder;
mod five_points;
mod gradient;
mod hog;
mod lanczos;
mod landmarks;
mod model_format_error;
mod packed;
mod padding;
mod quad;
mod quad_transform;
mod rectangle;
mod resize;
mod shape_predictor;
mod svd;

pub use align::{Aligned, Sampling, align, align_points};
pub use detector::{Detection, Detector};
pub use face_error::FaceError;
pub use finder::{Face, FaceFinder, MIN_WIDTH};
pub use five_points::{FivePoints, aligned_box};
pub use image::RgbImage;
pub use landmarks::{Landmarks, POINTS, Point};
pub use model_format_error::FaceModelFormatError;
pub use rectangle::Rectangle;
pub use shape_predictor::ShapePredictor;
