//! The pictures of a training: which come together, and how they are changed at random.

use std::path::PathBuf;

use nn::Random;
use picture::RgbImage;
use picture::resize::bilinear;

use super::losses::Example;
use crate::faster_rcnn::coder::{clip, is_larger};
use crate::faster_rcnn::config::Solver;
use crate::faster_rcnn::preparing::output_size;

/// The least side of an object after a picture is resized, in pixels.
const LEAST_SIDE: f32 = 1e-5;
/// What random numbers are for: these keep the sequences apart.
const ORDER: u64 = 1;
const CHANGES: u64 = 2;

/// A picture with its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotated {
    /// Its file.
    pub file: PathBuf,
    /// The width and height in pixels that the boxes are for. The picture is to have this size.
    pub size: [usize; 2],
    /// Left, top, right, bottom of each object, in pixels.
    pub boxes: Vec<[f32; 4]>,
    /// The class of each, from 0.
    pub classes: Vec<usize>,
}

/// Batches of indices without an end. All pictures come once, in random order, before one comes again. Pictures that are wider than high wait
/// for others of the kind, and so do the others.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    pictures: &'a [Annotated],
    solver: &'a Solver,
    order: Vec<usize>,
    rounds: u64,
    waiting: [Vec<usize>; 2],
}

impl<'a> Batches<'a> {
    /// Of at least one picture.
    pub(crate) fn new(pictures: &'a [Annotated], solver: &'a Solver) -> Self {
        Self { pictures, solver, order: Vec::new(), rounds: 0, waiting: Default::default() }
    }
}

impl Iterator for Batches<'_> {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        loop {
            if self.order.is_empty() {
                self.order = (0..self.pictures.len()).rev().collect();
                Random::of(self.solver.seed, &[ORDER, self.rounds]).shuffle(&mut self.order);
                self.rounds += 1;
            }
            let index = self.order.pop()?;
            let [width, height] = self.pictures[index].size;
            let waiting = &mut self.waiting[usize::from(self.solver.groups_by_shape && width > height)];
            waiting.push(index);
            if waiting.len() == self.solver.batch {
                return Some(std::mem::take(waiting));
            }
        }
    }
}

/// A picture as it is trained with: resized to one of the solver's sizes, and perhaps flipped. `step` and `place` choose its random
/// numbers.
pub(crate) fn changed(
    annotated: &Annotated,
    picture: &RgbImage,
    solver: &Solver,
    step: usize,
    place: usize,
) -> Example {
    let mut random = Random::of(solver.seed, &[CHANGES, step as u64, place as u64]);
    let short = solver.shorts[random.below(solver.shorts.len())];
    let is_flipped = solver.flips && random.uniform() < 0.5;
    example(annotated, picture, [short, solver.longest], is_flipped)
}

/// A picture resized to a shorter side and a longest longer one, and perhaps flipped.
pub(crate) fn example(
    annotated: &Annotated,
    picture: &RgbImage,
    [short, longest]: [usize; 2],
    is_flipped: bool,
) -> Example {
    let from = [picture.width() as usize, picture.height() as usize];
    let to = output_size(from, short, longest);
    let mut picture = bilinear(picture, to[0] as u32, to[1] as u32);
    if is_flipped {
        let row = to[0] * 3;
        for pixels in picture.as_mut().chunks_exact_mut(row) {
            pixels.as_chunks_mut::<3>().0.reverse();
        }
    }
    let sides = to.map(|side| side as f32);
    let scale = [0, 1].map(|axis| (to[axis] as f64 / from[axis] as f64) as f32);
    let moved = |[left, top, right, bottom]: [f32; 4]| {
        let [left, top, right, bottom] = [left * scale[0], top * scale[1], right * scale[0], bottom * scale[1]];
        let [left, right] = if is_flipped { [sides[0] - right, sides[0] - left] } else { [left, right] };
        clip([left, top, right, bottom], sides)
    };
    let objects = annotated.boxes.iter().map(|corners| moved(*corners)).zip(&annotated.classes);
    let (boxes, classes) =
        objects.filter(|(corners, _)| is_larger(*corners, LEAST_SIDE)).unzip::<_, _, Vec<_>, Vec<_>>();
    Example { picture, boxes, classes: classes.into_iter().copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faster_rcnn::config::Document;

    fn solver(options: &str) -> Solver {
        let mut document = Document::pyramid();
        document.merge_options(options.split(' ')).unwrap();
        Solver::of(&document).unwrap()
    }

    fn annotated(size: [usize; 2]) -> Annotated {
        let boxes = vec![[1.0, 2.0, 5.0, 6.0], [9.0, 1.0, 90.0, 3.0], [-4.0, 0.0, 0.0, 5.0]];
        Annotated { file: PathBuf::new(), size, boxes, classes: vec![0, 1, 2] }
    }

    #[test]
    fn batches_have_pictures_of_one_shape_and_follow_from_the_seed() {
        let sizes = [[4, 3], [3, 4], [5, 3], [3, 5], [6, 3], [3, 3], [7, 3]];
        let pictures: Vec<Annotated> = sizes.into_iter().map(annotated).collect();
        let solver = solver("SOLVER.IMS_PER_BATCH 2 SEED 5");
        let batches: Vec<Vec<usize>> = Batches::new(&pictures, &solver).take(14).collect();
        assert_eq!(batches, Batches::new(&pictures, &solver).take(14).collect::<Vec<_>>());
        let mut counts = [0; 7];
        for batch in &batches {
            let wide = |index: &usize| pictures[*index].size[0] > pictures[*index].size[1];
            assert_eq!((batch.len(), wide(&batch[0])), (2, wide(&batch[1])));
            batch.iter().for_each(|index| counts[*index] += 1);
        }
        assert!(counts.iter().all(|count| (3..=5).contains(count)), "{counts:?}");
    }

    #[test]
    fn boxes_follow_their_picture() {
        let mut picture = RgbImage::new(20, 10);
        picture.enumerate_pixels_mut().for_each(|(x, _, pixel)| pixel.0 = [x as u8, 0, 0]);
        let plain = example(&annotated([20, 10]), &picture, [20, 100], false);
        assert_eq!(plain.picture.dimensions(), (40, 20));
        assert_eq!((plain.boxes, plain.classes), (vec![[2.0, 4.0, 10.0, 12.0], [18.0, 2.0, 40.0, 6.0]], vec![0, 1]));
        let flipped = example(&annotated([20, 10]), &picture, [10, 100], true);
        assert_eq!(flipped.boxes, [[15.0, 2.0, 19.0, 6.0], [0.0, 1.0, 11.0, 3.0]]);
        assert_eq!((flipped.picture.get_pixel(0, 0).0[0], flipped.picture.get_pixel(19, 9).0[0]), (19, 0));
        let solver = solver("INPUT.MIN_SIZE_TRAIN (20,30)");
        let sides: Vec<u32> =
            (0..20).map(|step| changed(&annotated([20, 10]), &picture, &solver, step, 0).picture.height()).collect();
        assert!(sides.contains(&20) && sides.contains(&30), "{sides:?}");
    }
}
