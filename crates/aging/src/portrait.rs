use face::Landmarks;
use image::RgbImage;

/// An aligned portrait: what a strip shows of it, and what the engine looks at.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Panel 0: [`PANEL`](crate::PANEL) x [`PANEL`](crate::PANEL) pixels.
    pub panel: RgbImage,
    /// What else the engine needs to know of the face.
    pub view: View,
}

/// What an engine needs besides the panel.
#[derive(Clone, Debug)]
pub enum View {
    /// The preview engine: where the features of the face are in the panel, in pixels.
    Landmarks(Box<Landmarks>),
    /// The SAM engine: the same part of the photograph for its encoders, square; they take [`sam::FACE`](crate::sam::FACE) pixels, to
    /// which it is resized if need be.
    Face(RgbImage),
}
