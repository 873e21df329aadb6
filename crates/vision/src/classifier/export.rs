//! `export.pkl`, as fastai's `DataBunch.export` writes it: the classes of a model, and how pictures become its inputs.

mod pickle;

use super::description::Description;
pub use pickle::PickleError;
use pickle::{Pickle, Value};

/// The largest export that is read, in bytes. One of a thousand classes has 30 kB.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Why an export's classes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It is no pickle.
    #[error("it is no pickle of Python")]
    Pickle(#[from] PickleError),
    /// It has no classes.
    #[error("it has no classes of a CategoryProcessor: an export.pkl of a fastai 1.0.39 DataBunch would work")]
    NoClasses,
    /// It has no size of pictures.
    #[error("it has no size of pictures, such as size=224 of ImageDataBunch")]
    NoSize,
    /// Means or deviations are not three numbers.
    #[error("its {0} of the channels is no tensor of three 32-bit numbers")]
    NotThree(&'static str),
}

/// Reads an export. Nothing in it is run.
pub(super) fn read(bytes: &[u8]) -> Result<Description, ExportError> {
    let pickle = Pickle::read(bytes)?;
    let root = pickle.root();
    let classes = root.get("y_proc").and_then(classes).ok_or(ExportError::NoClasses)?;
    let size = root.get("tfmargs").and_then(|arguments| arguments.get("size")).and_then(Value::int);
    let image_size = size.and_then(|size| usize::try_from(size).ok()).ok_or(ExportError::NoSize)?;
    let of = |name: &'static str, default: [f32; 3]| {
        let Some(value) = root.get("normalize").and_then(|arguments| arguments.get(name)) else { return Ok(default) };
        three(value).ok_or(ExportError::NotThree(name))
    };
    // Without `normalize`, pictures stay as they are.
    Ok(Description { classes, image_size, means: of("mean", [0.0; 3])?, deviations: of("std", [1.0; 3])? })
}

/// The classes of the first processor that has some.
fn classes(processors: Value) -> Option<Vec<String>> {
    let classes = processors.items()?.find_map(|processor| processor.get("classes"))?;
    classes.items()?.map(|class| class.text().map(ToOwned::to_owned)).collect()
}

/// The values of a tensor of three: its storage is in the older format of `torch.save`, in which the count and the values come
/// last.
fn three(tensor: Value) -> Option<[f32; 3]> {
    let storage = tensor.arguments("torch._utils._rebuild_tensor_v2")?.items()?.next()?;
    let file = storage.arguments("torch.storage._load_from_bytes")?.items()?.next()?.bytes()?;
    let (rest, values) = file.split_last_chunk::<12>()?;
    let (_, count) = rest.split_last_chunk()?;
    let values = [0, 4, 8].map(|at| f32::from_le_bytes([values[at], values[at + 1], values[at + 2], values[at + 3]]));
    (u64::from_le_bytes(*count) == 3 && values.iter().all(|value| value.is_finite())).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::{IMAGENET_DEVIATIONS, IMAGENET_MEANS};
    use crate::golden;

    #[test]
    fn an_export_of_fastai_is_read() {
        let description = read(&golden::bytes("classifier/export.pkl")).unwrap();
        let expected = Description {
            classes: ["Bengal", "Sphynx", "american_bulldog", "great_pyrenees", "pug"].map(str::to_owned).to_vec(),
            image_size: 64,
            means: IMAGENET_MEANS,
            deviations: IMAGENET_DEVIATIONS,
        };
        assert_eq!(description, expected);
    }

    #[test]
    fn any_cut_and_any_changed_byte_is_an_error_or_a_description() {
        let export = golden::bytes("classifier/export.pkl");
        for end in 0..export.len() {
            assert!(read(&export[..end]).is_err(), "{end}");
        }
        let mut changed = export.clone();
        for at in 0..export.len() {
            for value in [0, b'.', b'R', 0xff] {
                changed[at] = value;
                // It must not panic.
                let _ = read(&changed);
            }
            changed[at] = export[at];
        }
        assert_eq!(read(b"\x80\x03}.").unwrap_err(), ExportError::NoClasses);
        assert!(matches!(read(b"GIF89a").unwrap_err(), ExportError::Pickle(_)));
    }
}
