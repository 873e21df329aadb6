//! How good detections are: average precision and recall as COCO and as PASCAL VOC have them, precision and recall at every score,
//! confusions, and the mistakes that cost the most.
//!
//! [`Input`](input::Input) holds what is compared. [`Coco`](coco::Coco) and [`Voc`](voc::Voc) say which detection is an object, each
//! by its own rules. All else follows from their [`Outcomes`](outcome::Outcomes).

mod by_image;
pub mod class_counts;
pub mod coco;
pub mod confusion;
pub mod input;
pub mod mistakes;
pub mod outcome;
pub mod score_curve;
pub mod voc;
