//! Names of files to write, from names that a data set made up.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::DatasetError;
use crate::annotations::base_name;

/// The most bytes of a name, below the limit of file systems.
const MAX_NAME: usize = 200;

/// Hands out names that are safe in a folder, each once.
#[derive(Debug, Default)]
pub(crate) struct FileNames(HashSet<String>);

impl FileNames {
    /// The last part of `name`, with a number before its extension if another picture has the name.
    pub(crate) fn of(&mut self, name: &str) -> String {
        let safe: String =
            base_name(name).chars().map(|letter| if letter.is_control() { '_' } else { letter }).collect();
        let safe = match safe.trim() {
            "" | "." | ".." => "picture".to_owned(),
            name => name.to_owned(),
        };
        let (stem, extension) = match safe.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() && extension.len() <= 8 => (stem, format!(".{extension}")),
            _ => (&*safe, String::new()),
        };
        let stem = &stem[..stem.floor_char_boundary(MAX_NAME)];
        let mut free = format!("{stem}{extension}");
        let mut number = 2_u64;
        // File systems may take letters of both cases as one.
        while !self.0.insert(free.to_lowercase()) {
            free = format!("{stem}-{number}{extension}");
            number += 1;
        }
        free
    }

    /// As [`FileNames::of`], without the extension of pictures.
    pub(crate) fn stem_of(&mut self, name: &str) -> String {
        let name = base_name(name);
        self.of(stem(name))
    }
}

/// A name without the extension of a picture.
pub(crate) fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_extension(extension) => stem,
        _ => name,
    }
}

fn is_extension(extension: &str) -> bool {
    ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a file's name is that of a picture that can be read.
pub(crate) fn is_picture(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The files and folders of a folder, in the order of their names. Hidden ones are left out.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DatasetError::io(folder, "read"))? {
        let entry = entry.map_err(DatasetError::io(folder, "read"))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The picture in a folder whose name without extension is `stem`; `None` if there is none.
pub(crate) fn picture_of(folder: &Path, stem: &str) -> Option<String> {
    let names = ["jpg", "jpeg", "png", "webp", "JPG", "JPEG", "PNG"].map(|extension| format!("{stem}.{extension}"));
    names.into_iter().find(|name| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder_and_are_each_given_once() {
        let mut names = FileNames::default();
        let given = ["a/b.jpg", "c\\B.jpg", "../..", "", "x\n.png", "b.jpg"].map(|name| names.of(name));
        assert_eq!(given, ["b.jpg", "B-2.jpg", "picture", "picture-2", "x_.png", "b-3.jpg"]);
        assert!(names.of(&"é".repeat(500)).len() <= MAX_NAME);
        assert_eq!(FileNames::default().stem_of("v1.0/cat.v2.JPG"), "cat.v2");
    }
}
