use super::number::Number;

/// Non-maximum suppression as torchvision's `nms`: the indices of the boxes that stay, best score first. Equal scores are in the
/// order of their indices.
///
/// A box goes if its overlap with a better one that stays, intersection over union, is above `overlap`. The overlap is rounded to
/// the boxes' precision and then compared in 64 bits: an overlap of 3/10 in 32 bits is above 0.3. Two empty boxes do not overlap.
pub fn suppress<T: Number>(boxes: &[[T; 4]], scores: &[f32], overlap: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    let areas: Vec<T> = boxes.iter().map(|[left, top, right, bottom]| (*right - *left) * (*bottom - *top)).collect();
    let mut gone = vec![false; boxes.len()];
    let mut stay = Vec::new();
    for (place, &index) in order.iter().enumerate() {
        if gone[index] {
            continue;
        }
        stay.push(index);
        for &other in &order[place + 1..] {
            let shared = intersection(boxes[index], boxes[other]);
            let union = areas[index] + areas[other] - shared;
            gone[other] |= Into::<f64>::into(shared / union) > overlap;
        }
    }
    stay
}

fn intersection<T: Number>(one: [T; 4], other: [T; 4]) -> T {
    let least = |one, other| if one < other { one } else { other };
    let most = |one, other| if one > other { one } else { other };
    let along =
        |first: usize, last: usize| most(T::from(0.0), least(one[last], other[last]) - most(one[first], other[first]));
    along(0, 2) * along(1, 3)
}
