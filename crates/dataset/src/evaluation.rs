//! How good detections are: average precision and recall as COCO and as PASCAL VOC have them, precision and recall at every score,
//! confusions, and the mistakes that cost the most.
//!
//! [`Comparison`](comparison::Comparison) holds what is compared. [`Coco`](coco::Coco) and [`Voc`](voc::Voc) say which detection is
//! an object, each by its own rules. All else follows from their [`Outcomes`](outcome::Outcomes).

mod assessment;
mod by_image;
pub mod class_counts;
pub mod coco;
pub mod comparison;
pub mod confusion;
pub mod mistakes;
pub mod outcome;
pub mod reading;
pub mod report;
pub mod score_curve;
pub mod voc;

pub use assessment::{Assessment, Figures, Style};
