//! Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011), over pairs of classes (Szymański and Kajdanowicz, 2017).

use std::collections::{BTreeSet, HashMap};

use crate::random::Random;

/// Assigns each picture to a split.
///
/// `classes` has the classes that each picture shows, each once; `shares` has a positive number for each split, of which only
/// the ratios count. Returns the split of each picture. The same seed gives the same splits.
///
/// The pair of classes with the fewest pictures left is dealt out first, a class with itself being a pair too. A picture goes to the split
/// that lacks most pictures of the pair, of equals to the one that lacks most pictures, of equals by chance. Pictures without
/// a class come last.
#[must_use]
pub fn stratify(classes: &[Box<[u32]>], shares: &[f64], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let total: f64 = shares.iter().sum();
    let shares: Vec<f64> = shares.iter().map(|share| share / total).collect();

    // Pictures of each pair, in random order.
    let mut order: Vec<u32> = (0..classes.len() as u32).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    let mut numbers: HashMap<(u32, u32), u32> = HashMap::new();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for &picture in &order {
        for pair in pairs(&classes[picture as usize]) {
            let number = *numbers.entry(pair).or_insert_with(|| {
                members.push(Vec::new());
                members.len() as u32 - 1
            });
            members[number as usize].push(picture);
        }
    }
    let mut lacks: Vec<Vec<f64>> =
        members.iter().map(|members| shares.iter().map(|share| share * members.len() as f64).collect()).collect();
    let mut lacks_pictures: Vec<f64> = shares.iter().map(|share| share * classes.len() as f64).collect();
    let mut left: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut rarest: BTreeSet<(usize, u32)> = left.iter().copied().zip(0..).collect();

    let mut splits: Vec<Option<u8>> = vec![None; classes.len()];
    while let Some((_, pair)) = rarest.pop_first() {
        for picture in std::mem::take(&mut members[pair as usize]) {
            if splits[picture as usize].is_some() {
                continue;
            }
            let split = neediest(&lacks[pair as usize], &lacks_pictures, &mut random);
            splits[picture as usize] = Some(split as u8);
            lacks_pictures[split] -= 1.0;
            for other in pairs(&classes[picture as usize]) {
                let other = numbers[&other];
                lacks[other as usize][split] -= 1.0;
                let known = left[other as usize];
                left[other as usize] -= 1;
                if rarest.remove(&(known, other)) && known > 1 {
                    rarest.insert((known - 1, other));
                }
            }
        }
    }
    let rest = order.iter().filter(|picture| classes[**picture as usize].is_empty());
    for &picture in rest {
        let split = neediest(&lacks_pictures, &lacks_pictures, &mut random);
        splits[picture as usize] = Some(split as u8);
        lacks_pictures[split] -= 1.0;
    }
    splits.into_iter().map(Option::unwrap_or_default).collect()
}

/// Every pair of classes of a picture, with each class paired with itself.
fn pairs(classes: &[u32]) -> impl Iterator<Item = (u32, u32)> + '_ {
    classes.iter().enumerate().flat_map(|(index, first)| classes[index..].iter().map(move |second| (*first, *second)))
}

/// The split that lacks most, of equals the one that lacks most pictures, of equals one by chance.
fn neediest(lacks: &[f64], lacks_pictures: &[f64], random: &mut Random) -> usize {
    let same = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let mut best = vec![0];
    for split in 1..lacks.len() {
        let (first, by_pair) = (best[0], lacks[split]);
        let is_equal = same(by_pair, lacks[first]);
        let is_better =
            if is_equal { lacks_pictures[split] > lacks_pictures[first] + 1e-9 } else { by_pair > lacks[first] };
        if is_better {
            best = vec![split];
        } else if is_equal && same(lacks_pictures[split], lacks_pictures[first]) {
            best.push(split);
        }
    }
    best[random.below(best.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(splits: &[u8], of: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut counts = vec![0; 3];
        splits.iter().enumerate().filter(|(index, _)| of(*index)).for_each(|(_, split)| counts[*split as usize] += 1);
        counts
    }

    #[test]
    fn every_class_and_the_whole_have_their_shares() {
        let mut random = Random::new(1);
        let classes: Vec<Box<[u32]>> = (0..1000)
            .map(|_| (0..5).filter(|class| random.below(2 + 3 * class) == 0).map(|class| class as u32).collect())
            .collect();
        let splits = stratify(&classes, &[60.0, 20.0, 20.0], 7);
        assert_eq!(splits, stratify(&classes, &[3.0, 1.0, 1.0], 7));
        assert_ne!(splits, stratify(&classes, &[60.0, 20.0, 20.0], 8));
        let all = counts(&splits, |_| true);
        assert!(all[0].abs_diff(600) <= 3 && all[1].abs_diff(200) <= 3, "{all:?}");
        for class in 0..5 {
            let found = counts(&splits, |index| classes[index].contains(&class));
            let total: usize = found.iter().sum();
            assert!((found[0] as f64 - 0.6 * total as f64).abs() < 3.0, "{class}: {found:?}");
            assert!((found[2] as f64 - 0.2 * total as f64).abs() < 3.0, "{class}: {found:?}");
        }
    }

    #[test]
    fn few_pictures_are_all_assigned() {
        assert!(stratify(&[], &[1.0, 1.0], 0).is_empty());
        let lone: Vec<Box<[u32]>> = vec![Box::new([]), Box::new([3])];
        assert_eq!(stratify(&lone, &[1.0], 0), [0, 0]);
    }
}
