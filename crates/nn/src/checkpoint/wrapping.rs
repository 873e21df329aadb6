//! Names with a prefix before those that a network gives its tensors.
//!
//! `module.` comes from DistributedDataParallel, `_orig_mod.` from `torch.compile`. A dictionary or a module around the network
//! adds its own name, and prefixes follow each other. None of them is known here: a prefix is what makes the names fit.

use std::collections::{BTreeMap, HashSet};

use super::{Checkpoint, CheckpointError};

impl Checkpoint {
    /// This checkpoint without the prefix that stands before the names that a network `wanted`. Most of them have to have it. A
    /// tensor that stands beside the prefixed ones, in a dictionary around theirs, loses the shorter prefix of that dictionary.
    /// A checkpoint that fits best as it is stays as it is.
    ///
    /// # Errors
    /// [`CheckpointError::Twice`]: all names are there under several prefixes.
    pub fn unwrapped<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Result<Self, CheckpointError> {
        let wanted: HashSet<&str> = wanted.into_iter().collect();
        let found = prefixes(self.tensors.keys().map(String::as_str), &wanted);
        let most = found.values().copied().max().unwrap_or(0);
        if 2 * most <= wanted.len() || found.get("") == Some(&most) {
            return Ok(self.clone());
        }
        let best: Vec<&str> = found.iter().filter(|(_, count)| **count == most).map(|(prefix, _)| *prefix).collect();
        let unwrapped = Self {
            file: self.file.clone(),
            tensors: without(self.tensors.clone(), best[0]),
            flags: without(self.flags.clone(), best[0]),
            prefix: best[0].to_owned(),
            entries: self.entries.clone(),
            ..*self
        };
        if best.len() > 1 && wanted.iter().all(|name| unwrapped.tensors.contains_key(*name)) {
            let prefixes = best.into_iter().map(str::to_owned).collect();
            return Err(CheckpointError::Twice { file: self.file.clone(), prefixes });
        }
        Ok(unwrapped)
    }

    /// The prefix that [`unwrapped`](Self::unwrapped) has taken off the names; empty if none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// The prefixes before wanted names, each with the number of these names. The prefix of a bare name is empty.
fn prefixes<'a>(names: impl Iterator<Item = &'a str>, wanted: &HashSet<&str>) -> BTreeMap<&'a str, usize> {
    // A hostile file may have names of megabytes.
    let longest = wanted.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut counts = BTreeMap::new();
    for name in names {
        let starts = name.rmatch_indices('.').map(|(dot, _)| dot + 1).chain([0]);
        for start in starts.take_while(|start| name.len() - start <= longest) {
            if wanted.contains(&name[start..]) {
                *counts.entry(&name[..start]).or_default() += 1;
            }
        }
    }
    counts
}

/// Entries under their names without a prefix that ends in a dot. A name that does not begin with it loses as much of it as it
/// begins with, up to a dot. Where two entries would have one name, the one with the longer prefix counts.
pub(super) fn without<T>(entries: BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    let shared = |name: &str| {
        let common = name.bytes().zip(prefix.bytes()).take_while(|(one, other)| one == other).count();
        name.as_bytes()[..common].iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1)
    };
    let mut entries: Vec<(usize, String, T)> =
        entries.into_iter().map(|(name, entry)| (shared(&name), name, entry)).collect();
    entries.sort_by_key(|(end, ..)| *end);
    entries.into_iter().map(|(end, name, entry)| (name[end..].to_owned(), entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::StoredTensor;
    use super::*;

    const WANTED: [&str; 4] = ["body.0.weight", "body.1.weight", "head.weight", "average"];

    fn checkpoint<'a>(names: impl IntoIterator<Item = &'a str>) -> Checkpoint {
        let tensor = |name: &str| (name.to_owned(), StoredTensor::computed(vec![1], || vec![0.0]));
        Checkpoint::computed("model.pt", names.into_iter().map(tensor))
    }

    /// The names of a checkpoint after a prefix is taken off, and the prefix.
    fn unwrapped<'a>(names: impl IntoIterator<Item = &'a str>) -> (Vec<String>, String) {
        let found = checkpoint(names).unwrapped(WANTED).unwrap();
        (found.tensors().keys().cloned().collect(), found.prefix().to_owned())
    }

    #[test]
    fn a_prefix_before_all_names_is_taken_off() {
        let bare = unwrapped(WANTED);
        assert_eq!(bare.1, "");
        for prefix in ["module.", "_orig_mod.", "net.", "module._orig_mod.", "model_state_dict.module.", "a.b.c.d."] {
            let names = WANTED.map(|name| format!("{prefix}{name}"));
            let (names, found) = unwrapped(names.iter().map(String::as_str));
            assert_eq!((names, found.as_str()), (bare.0.clone(), prefix));
        }
    }

    #[test]
    fn tensors_beside_the_prefixed_ones_are_found() {
        let beside = ["module.body.0.weight", "module.body.1.weight", "module.head.weight", "average"];
        assert_eq!(unwrapped(beside), (unwrapped(WANTED).0, "module.".to_owned()));
        let around =
            ["run.net.body.0.weight", "run.net.body.1.weight", "run.net.head.weight", "run.average", "epoch.x"];
        let (names, prefix) = unwrapped(around);
        assert_eq!(prefix, "run.net.");
        assert_eq!(names, ["average", "body.0.weight", "body.1.weight", "epoch.x", "head.weight"]);
    }

    #[test]
    fn a_prefix_is_taken_off_where_few_tensors_are_missing() {
        let (names, prefix) = unwrapped(["module.body.0.weight", "module.body.1.weight", "module.head.weight"]);
        assert_eq!((names.len(), prefix.as_str()), (3, "module."));
        let foreign = ["x.head.weight", "x.tail.weight"];
        assert_eq!(unwrapped(foreign), (foreign.map(str::to_owned).to_vec(), String::new()));
    }

    #[test]
    fn names_that_fit_already_come_first() {
        let average = WANTED.map(|name| format!("ema.{name}"));
        let (names, prefix) = unwrapped(WANTED.into_iter().chain(average.iter().map(String::as_str)));
        assert_eq!((names.len(), prefix.as_str()), (8, ""));
    }

    #[test]
    fn two_sets_of_weights_are_named() {
        let both = ["g.", "g_ema."].map(|prefix| WANTED.map(|name| format!("{prefix}{name}")));
        let error = checkpoint(both.as_flattened().iter().map(String::as_str)).unwrapped(WANTED).unwrap_err();
        assert_eq!(
            error.to_string(),
            "model.pt has the network's weights more than once, with the prefixes \"g.\", \"g_ema.\": \
             a checkpoint with one of them would work"
        );
    }

    #[test]
    fn long_names_take_no_longer() {
        let long = ["..".repeat(1 << 20), format!("{}head.weight", "a.".repeat(1 << 20))];
        assert_eq!(unwrapped(long.iter().map(String::as_str)).0.len(), 2);
    }
}
