use std::fmt::{self, Display, Write};
use std::path::PathBuf;

use safetensors::Dtype;

/// The tensors of one kind that a message names.
pub(crate) const NAMED: usize = 4;
/// The characters of a name that a message shows.
const LONGEST: usize = 100;

/// A tensor that a network needs, and that its checkpoint lacks or has in another shape or type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its name.
    pub tensor: String,
    /// The shape that the network needs.
    pub needed: Vec<usize>,
    /// The type and shape in the checkpoint, if it has the tensor.
    pub found: Option<(Dtype, Vec<usize>)>,
}

/// All misfits between a checkpoint and a network. The message is a sentence, then a line for each of the first tensors of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfits {
    /// The path of the checkpoint.
    pub file: PathBuf,
    /// The network, as messages call it.
    pub network: String,
    /// The number of tensors that the network needs.
    pub needed: usize,
    /// The misfits, in the order in which the network asks for tensors.
    pub tensors: Vec<Misfit>,
    /// The prefix that was taken off the checkpoint's names; empty if none.
    pub prefix: String,
    /// The number of tensors in the checkpoint that the network does not ask for.
    pub others: usize,
    /// The names and shapes of the first of them, in the order of their names.
    pub first_others: Vec<(String, Vec<usize>)>,
}

impl Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, network, needed, tensors, prefix, .. } = self;
        write!(
            f,
            "{} is no checkpoint of {network}: {} of {needed} tensors do not fit",
            file.display(),
            tensors.len()
        )?;
        if !prefix.is_empty() {
            write!(f, ", the prefix \"{}\" of the names taken off", excerpt(prefix))?;
        }
        let (missing, there): (Vec<_>, Vec<_>) = tensors.iter().partition(|misfit| misfit.found.is_none());
        let (of_type, of_shape): (Vec<_>, Vec<_>) = there.into_iter().partition(|misfit| misfit.is_of_other_type());
        group(f, "missing", missing.len(), missing.iter().map(|misfit| line(&misfit.tensor, &misfit.needed)))?;
        group(f, "of another shape", of_shape.len(), of_shape.iter().map(|misfit| misfit.found()))?;
        let types = "of another type than F16, BF16, F32 and F64";
        group(f, types, of_type.len(), of_type.iter().map(|misfit| misfit.found()))?;
        match (missing.len(), self.others) {
            (0, _) => Ok(()),
            (_, 0) => f.write_str("\nin the file: no other tensors"),
            (_, others) => {
                let lines = self.first_others.iter().map(|(name, shape)| line(name, shape));
                group(f, "in the file, under names that are not needed", others, lines)
            }
        }
    }
}

impl Misfit {
    fn is_of_other_type(&self) -> bool {
        self.found.as_ref().is_some_and(|(_, shape)| *shape == self.needed)
    }

    fn found(&self) -> String {
        let Self { tensor, needed, found } = self;
        match found {
            Some((dtype, shape)) if shape == needed => format!("{}, {dtype:?}", line(tensor, shape)),
            Some((_, shape)) => format!("{}, {needed:?} is needed", line(tensor, shape)),
            None => line(tensor, needed),
        }
    }
}

/// A heading with a number, and a line for each of the first tensors. Nothing if there are none.
fn group(f: &mut fmt::Formatter<'_>, heading: &str, number: usize, lines: impl Iterator<Item = String>) -> fmt::Result {
    if number == 0 {
        return Ok(());
    }
    write!(f, "\n{heading}: {number}")?;
    lines.take(NAMED).try_for_each(|line| write!(f, "\n  {line}"))?;
    if number > NAMED { f.write_str("\n  ...") } else { Ok(()) }
}

fn line(name: &str, shape: &[usize]) -> String {
    if shape.len() > 8 {
        format!("{} of {} dimensions", excerpt(name), shape.len())
    } else {
        format!("{} {shape:?}", excerpt(name))
    }
}

/// The beginning of a name from a file. Control characters, which a terminal would obey, are escaped.
pub(crate) fn excerpt(name: &str) -> String {
    let mut shown = String::new();
    for character in name.chars().take(LONGEST) {
        if character.is_control() {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if name.chars().nth(LONGEST).is_some() { shown + "..." } else { shown }
}

impl std::error::Error for Misfits {}
