//! Faces found, landmarked and aligned, as dlib and FFHQ do it.
//!
//! A [`Detector`] finds faces by histograms of oriented gradients, a [`ShapePredictor`] places 68 [`Landmarks`] on each,
//! and [`align()`] cuts the face out as face GANs expect it. Both models are read from dlib's own files; small ones are
//! built in. A [`FaceFinder`] picks the face of a portrait. Pictures are 8-bit RGB and upright. No I/O.

mod align;
mod border;
mod built_in;
mod detector;
mod face_error;
mod filter;
mod finder;
mod gradient;
mod hog;
mod lanczos;
mod landmarks;
mod outer_products;
mod packed;
mod quad;
mod rectangle;
mod resize;
mod serialized;
mod shape_predictor;

pub use align::{Aligned, Sampling, align};
pub use detector::{Detection, Detector};
pub use face_error::FaceError;
pub use finder::{Face, FaceFinder, MIN_WIDTH};
pub use image::RgbImage;
pub use landmarks::{Landmarks, POINTS, Point};
pub use rectangle::Rectangle;
pub use serialized::ModelError;
pub use shape_predictor::ShapePredictor;
