//! Which boxes stand for which objects, as Detectron2's `Matcher` and `subsample_labels` decide.

use nn::Random;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// The background.
    Background,
    /// Neither: it is not trained with.
    Ignored,
    /// An object.
    Object,
}

/// What each box stands for, and the object that it overlaps most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matches {
    pub(crate) labels: Vec<Label>,
    /// Indices of objects; 0 where there are none.
    pub(crate) objects: Vec<usize>,
}

/// Intersection over union.
pub(crate) fn overlap(one: [f32; 4], other: [f32; 4]) -> f32 {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
    let side = |axis: usize| (one[axis + 2].min(other[axis + 2]) - one[axis].max(other[axis])).max(0.0);
    let shared = side(0) * side(1);
    if shared > 0.0 { shared / (area(one) + area(other) - shared) } else { 0.0 }
}

/// Boxes below the first overlap are background, those from the second one on objects. With `best`, those that overlap an object most are
/// too, ties included. They stay matched to the object that they overlap most.
pub(crate) fn matched(
    objects: &[[f32; 4]],
    boxes: impl ExactSizeIterator<Item = [f32; 4]>,
    [below, from]: [f32; 2],
    best: bool,
) -> Matches {
    let count = boxes.len();
    let mut matches = Matches { labels: Vec::with_capacity(count), objects: Vec::with_capacity(count) };
    if objects.is_empty() {
        return Matches { labels: vec![Label::Background; count], objects: vec![0; count] };
    }
    let mut most = vec![0.0_f32; objects.len()];
    let mut ties: Vec<Vec<usize>> = vec![Vec::new(); objects.len()];
    for (index, corners) in boxes.enumerate() {
        let (mut largest, mut nearest) = (f32::NEG_INFINITY, 0);
        for (object, place) in objects.iter().enumerate() {
            let overlap = overlap(*place, corners);
            if overlap > largest {
                (largest, nearest) = (overlap, object);
            }
            if best && overlap >= most[object] {
                if overlap > most[object] {
                    most[object] = overlap;
                    ties[object].clear();
                }
                ties[object].push(index);
            }
        }
        matches.labels.push(if largest >= from {
            Label::Object
        } else if largest < below {
            Label::Background
        } else {
            Label::Ignored
        });
        matches.objects.push(nearest);
    }
    for index in ties.into_iter().flatten() {
        matches.labels[index] = Label::Object;
    }
    matches
}

/// How boxes are taken out of more than are trained with.
#[derive(Clone, Debug)]
pub enum Sampling {
    /// At random.
    Random(Random),
    /// The first ones, to compare figures.
    First,
}

impl Sampling {
    fn take(&mut self, mut indices: Vec<usize>, most: usize) -> Vec<usize> {
        if let Self::Random(random) = self
            && indices.len() > most
        {
            for place in 0..most {
                let other = place + random.below(indices.len() - place);
                indices.swap(place, other);
            }
            indices.truncate(most);
            indices.sort_unstable();
        }
        indices.truncate(most);
        indices
    }

    /// At most `count` boxes: at most a share of them objects, the rest background.
    pub(crate) fn sample(&mut self, labels: &[Label], count: usize, share: f64) -> [Vec<usize>; 2] {
        let of = |wanted: Label| (0..labels.len()).filter(|index| labels[*index] == wanted).collect();
        let objects = self.take(of(Label::Object), (count as f64 * share) as usize);
        let background = self.take(of(Label::Background), count - objects.len());
        [objects, background]
    }
}
