use face::Landmarks;
use image::RgbImage;

/// An aligned portrait: the panel that a strip shows, and the engine's input.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Panel 0: [`PANEL`](crate::PANEL) x [`PANEL`](crate::PANEL) pixels.
    pub panel: RgbImage,
    /// The engine's input besides the panel.
    pub view: View,
}

/// The input of an engine besides the panel.
#[derive(Clone, Debug)]
pub enum View {
    /// For the preview engine: the landmarks of the face, in pixels of the panel.
    Landmarks(Box<Landmarks>),
    /// For the SAM engine: a square picture of the same part of the photograph. Its encoders take
    /// [`sam::FACE`](crate::sam::FACE) pixels, and a picture of another size is resized.
    Face(RgbImage),
}
