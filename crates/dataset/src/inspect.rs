//! What is wrong with a data set, and what is in it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use sha2::{Digest, Sha256};

use crate::annotations::{Object, Sample, Size};
use crate::{ClassId, Classes};

/// The most examples that are kept of each problem.
const MAX_EXAMPLES: usize = 100;

/// What is found in data sets, of which several may be the splits of one.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Pictures of each data set.
    pub pictures: Vec<u64>,
    /// Pictures that were annotated and show nothing.
    pub negatives: u64,
    /// Pictures that were not annotated.
    pub unannotated: u64,
    /// Pictures whose objects all have one class.
    pub one_class: u64,
    /// The classes, by their ids.
    pub classes: Vec<ClassCount>,
    problems: HashMap<Problem, (u64, Vec<String>)>,
    hashes: HashMap<[u8; 32], (u32, String)>,
    places: HashMap<u64, u32>,
}

/// How often a class is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassCount {
    /// Pictures that show it.
    pub pictures: u64,
    /// Its boxes.
    pub boxes: u64,
    /// Its labels of whole pictures.
    pub labels: u64,
    /// The smallest and the largest area of a box in square pixels.
    pub areas: Option<(f64, f64)>,
}

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
    /// A box goes beyond the picture.
    Outside,
    /// A box has no area.
    Empty,
    /// A box of the same class is at the same place.
    Repeated,
    /// The picture cannot be read.
    Unreadable,
    /// The picture has another size than the data set says.
    Size,
    /// The bytes of a picture are there twice in one data set.
    Duplicate,
    /// A picture is in two data sets.
    Leak,
    /// A class has no name.
    Nameless,
}

impl Problem {
    /// Every problem.
    pub const ALL: [Self; 8] = [
        Self::Outside,
        Self::Empty,
        Self::Repeated,
        Self::Unreadable,
        Self::Size,
        Self::Duplicate,
        Self::Leak,
        Self::Nameless,
    ];

    /// What it is called after a number.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Outside => "boxes beyond the picture",
            Self::Empty => "boxes without an area",
            Self::Repeated => "boxes that are there twice",
            Self::Unreadable => "pictures that cannot be read",
            Self::Size => "pictures of another size than the data set says",
            Self::Duplicate => "pictures with the bytes of another one",
            Self::Leak => "pictures that are in two data sets",
            Self::Nameless => "annotations of a class without a name",
        }
    }
}

impl Inspection {
    /// Adds a picture of the data set `input`. `picture` is its file, or why it cannot be read; `None` if pictures are not looked at.
    pub fn add(&mut self, input: usize, sample: &Sample, classes: &Classes, picture: Option<Result<&[u8], String>>) {
        if self.pictures.len() <= input {
            self.pictures.resize(input + 1, 0);
        }
        self.pictures[input] += 1;
        let shown = sample.classes();
        self.unannotated += u64::from(!sample.is_annotated);
        self.negatives += u64::from(sample.is_annotated && shown.is_empty());
        self.one_class += u64::from(shown.len() == 1);
        for class in shown {
            self.class(class).pictures += 1;
        }
        for label in &sample.labels {
            self.class(label.class).labels += 1;
            self.nameless(label.class, sample, classes);
        }
        let mut size = sample.size;
        match picture {
            Some(Ok(bytes)) => {
                let found = self.look_at(input, sample, bytes);
                size = size.or(found);
            }
            Some(Err(reason)) => self.problem(Problem::Unreadable, || format!("{}: {reason}", sample.place)),
            None => self.leak_by_place(input, sample),
        }
        self.boxes(sample, size, classes);
    }

    /// The number of a problem, and the first examples.
    #[must_use]
    pub fn problem_of(&self, problem: Problem) -> (u64, &[String]) {
        self.problems.get(&problem).map_or((0, &[]), |(count, examples)| (*count, examples))
    }

    /// The number of all problems.
    #[must_use]
    pub fn problem_count(&self) -> u64 {
        self.problems.values().map(|(count, _)| count).sum()
    }

    fn problem(&mut self, problem: Problem, example: impl FnOnce() -> String) {
        let (count, examples) = self.problems.entry(problem).or_default();
        *count += 1;
        if examples.len() < MAX_EXAMPLES {
            examples.push(example());
        }
    }

    fn class(&mut self, id: ClassId) -> &mut ClassCount {
        let index = id.0 as usize;
        if self.classes.len() <= index {
            self.classes.resize(index + 1, ClassCount::default());
        }
        &mut self.classes[index]
    }

    fn nameless(&mut self, class: ClassId, sample: &Sample, classes: &Classes) {
        if classes.get(class).is_some_and(|class| class.name.is_none()) {
            self.problem(Problem::Nameless, || format!("{}: class {}", sample.place, classes.shown(class)));
        }
    }

    fn boxes(&mut self, sample: &Sample, size: Option<Size>, classes: &Classes) {
        let mut seen = HashSet::new();
        for (index, object) in sample.objects.iter().enumerate() {
            let Object { class, bounds, .. } = *object;
            let example = || {
                let [left, top, right, bottom] = bounds.corners();
                let name = classes.shown(class);
                format!("{}: box {index}, {name}, from ({left}, {top}) to ({right}, {bottom})", sample.place)
            };
            let area = bounds.area();
            let count = self.class(class);
            count.boxes += 1;
            let (least, most) = count.areas.unwrap_or((area, area));
            count.areas = Some((least.min(area), most.max(area)));
            self.nameless(class, sample, classes);
            if bounds.is_empty() {
                self.problem(Problem::Empty, example);
            }
            if size.is_some_and(|size| bounds.is_outside(size)) {
                self.problem(Problem::Outside, example);
            }
            if !seen.insert((class, bounds.corners().map(f64::to_bits))) {
                self.problem(Problem::Repeated, example);
            }
        }
    }

    /// Looks at a picture's bytes, and returns its size.
    fn look_at(&mut self, input: usize, sample: &Sample, bytes: &[u8]) -> Option<Size> {
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        let known = self.hashes.get(&hash).cloned();
        match known {
            Some((other, place)) => {
                let problem = if other as usize == input { Problem::Duplicate } else { Problem::Leak };
                self.problem(problem, || format!("{} and {place}", sample.place));
            }
            None => drop(self.hashes.insert(hash, (input as u32, sample.place.clone()))),
        }
        let picture = match picture::decode(bytes) {
            Ok(picture) => picture,
            Err(error) => {
                self.problem(Problem::Unreadable, || format!("{}: {error}", sample.place));
                return None;
            }
        };
        let (width, height) = picture.dimensions();
        if let Some(size) = sample.size.filter(|size| (size.width, size.height) != (width, height)) {
            self.problem(Problem::Size, || {
                let place = &sample.place;
                format!("{place}: {width} x {height}, and the data set says {} x {}", size.width, size.height)
            });
        }
        Some(Size { width, height, depth: 3 })
    }

    fn leak_by_place(&mut self, input: usize, sample: &Sample) {
        let mut hasher = DefaultHasher::new();
        sample.place.hash(&mut hasher);
        match self.places.insert(hasher.finish(), input as u32) {
            Some(other) if other as usize != input => self.problem(Problem::Leak, || sample.place.clone()),
            Some(_) => self.problem(Problem::Duplicate, || sample.place.clone()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::Rectangle;

    #[test]
    fn every_problem_is_found_and_named() {
        let mut classes = Classes::default();
        let (cat, nameless) = (classes.name(0, "cat"), classes.of_number(7));
        let mut sample = Sample::at("a.png");
        sample.is_annotated = true;
        sample.size = Some(Size { width: 10, height: 8, depth: 3 });
        let boxes = [[1.0, 1.0, 11.0, 3.0], [2.0, 2.0, 2.0, 5.0], [1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 3.0, 3.0]];
        sample.objects = boxes.iter().map(|corners| Object::new(cat, Rectangle::between(*corners))).collect();
        sample.objects.push(Object::new(nameless, Rectangle::between([0.0, 0.0, 1.0, 1.0])));
        let mut png = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(10, 9).write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let mut inspection = Inspection::default();
        inspection.add(0, &sample, &classes, Some(Ok(&png)));
        let same = Sample::at("b.png");
        inspection.add(0, &same, &classes, Some(Ok(&png)));
        inspection.add(1, &same, &classes, Some(Ok(&png)));
        inspection.add(1, &same, &classes, Some(Ok(b"text")));
        for (problem, count) in Problem::ALL.iter().zip([1, 1, 1, 1, 1, 1, 1, 1]) {
            let (found, examples) = inspection.problem_of(*problem);
            assert_eq!((found, examples.len()), (count, count as usize), "{problem:?} {examples:?}");
        }
        assert_eq!((inspection.pictures, inspection.unannotated, inspection.one_class), (vec![2, 2], 3, 0));
        assert_eq!(inspection.classes[0].areas, Some((0.0, 20.0)));
    }
}
