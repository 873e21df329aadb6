/// From encodings of boxes and scores to detections: the settings of TensorFlow Lite's operation `TFLite_Detection_PostProcess`.
#[derive(Clone, Debug, PartialEq)]
pub struct PostProcessing {
    /// The anchors: centre's y and x, height and width, in multiples of the picture's height and width.
    pub anchors: Vec<[f32; 4]>,
    /// What encodings are divided by: those of a box's centre's y and x, height and width.
    pub scales: [f32; 4],
    /// The number of classes, without the background.
    pub classes: usize,
    /// The most detections.
    pub detections: usize,
    /// The most detections of a class, where each class is suppressed by itself.
    pub per_class: usize,
    /// A score has to reach this.
    pub score_threshold: f32,
    /// A box goes if its overlap with a better one, intersection over union, is above this.
    pub iou_threshold: f32,
    /// Whether each class is suppressed by itself. Otherwise each anchor has its best class alone, and all are suppressed together, which
    /// is faster.
    pub by_class: bool,
}
