//! How classes are spread over splits.

use crate::{ClassId, Sample};

/// The pictures and annotations of every split.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// The share of each split that was asked for; they sum to 1.
    pub shares: Vec<f64>,
    /// The pictures of each split.
    pub pictures: Vec<u64>,
    /// Each class, by its id.
    pub classes: Vec<ClassBalance>,
}

/// One class in every split.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassBalance {
    /// Pictures that show the class.
    pub pictures: Vec<u64>,
    /// Its boxes, and its labels of whole pictures.
    pub annotations: Vec<u64>,
}

impl Balance {
    /// Of splits with these shares and no picture yet.
    #[must_use]
    pub fn new(shares: &[f64]) -> Self {
        let total: f64 = shares.iter().sum();
        let shares: Vec<f64> = shares.iter().map(|share| share / total).collect();
        Self { pictures: vec![0; shares.len()], shares, classes: Vec::new() }
    }

    /// Counts a picture of a split.
    pub fn add(&mut self, split: usize, sample: &Sample) {
        self.pictures[split] += 1;
        for class in sample.classes() {
            self.class(class).pictures[split] += 1;
        }
        for object in &sample.objects {
            self.class(object.class).annotations[split] += 1;
        }
        for label in &sample.labels {
            self.class(label.class).annotations[split] += 1;
        }
    }

    fn class(&mut self, id: ClassId) -> &mut ClassBalance {
        let (index, splits) = (id.0 as usize, self.pictures.len());
        if self.classes.len() <= index {
            let empty = ClassBalance { pictures: vec![0; splits], annotations: vec![0; splits] };
            self.classes.resize(index + 1, empty);
        }
        &mut self.classes[index]
    }

    /// How far the pictures of a class are from their shares at most, in pictures.
    #[must_use]
    pub fn deviation(&self, class: &ClassBalance) -> f64 {
        let total: u64 = class.pictures.iter().sum();
        let far = |(count, share): (&u64, &f64)| (*count as f64 - share * total as f64).abs();
        class.pictures.iter().zip(&self.shares).map(far).fold(0.0, f64::max)
    }
}
