//! Pictures in folders, and the classes in their paths.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use regex::Regex;

/// The files that are listed, by the ends of their names in any case.
const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "jpe", "png", "webp"];
/// The folder in which a data set may have its pictures.
const IMAGES: &str = "images";

/// Where the class of a picture stands.
#[derive(Clone, Debug)]
pub enum Labelling {
    /// The folder that it lies in.
    Folder,
    /// The path, by a regular expression.
    Path(PathPattern),
}

impl Labelling {
    /// Of a data set: its classes are folders, unless pictures lie beside each other in the data set's folder or in `images` there.
    /// Then names are as those of the [Oxford-IIIT pets](PathPattern::pets).
    ///
    /// # Errors
    /// [`LabelsError::Folder`].
    pub fn of(root: &Path) -> Result<Self, LabelsError> {
        let root = with_pictures(root)?;
        Ok(if has_pictures(&root)? { Self::Path(PathPattern::pets()) } else { Self::Folder })
    }
}

/// A regular expression that is searched in a path with `/` between its parts. Its first group is the class.
#[derive(Clone, Debug)]
pub struct PathPattern(Regex);

impl PathPattern {
    /// The names of the Oxford-IIIT pets, `american_bulldog_203.jpg`, as fastai's lessons read them.
    pub fn pets() -> Self {
        r"/([^/]+)_\d+.jpg$".parse().expect("the expression is right")
    }

    /// The class of a path.
    pub fn class<'a>(&self, path: &'a str) -> Option<&'a str> {
        let search = |path: &'a str| Some(self.0.captures(path)?.get(1)?.as_str());
        // In Python's expressions `$` is also before a last line feed.
        search(path).or_else(|| search(path.strip_suffix('\n')?))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Why an expression cannot find the class in a path.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It is none.
    #[error("{pattern:?} is no regular expression: one such as {pets:?} would work", pets = PathPattern::pets().to_string())]
    Malformed {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// It has no group.
    #[error(
        "{pattern:?} has no group in parentheses, which would be the class: one such as {pets:?} would work",
        pets = PathPattern::pets().to_string()
    )]
    NoGroup {
        /// The text.
        pattern: String,
    },
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        let malformed = |source| PatternError::Malformed { pattern: pattern.to_owned(), source: Box::new(source) };
        let regex = Regex::new(pattern).map_err(malformed)?;
        if regex.captures_len() < 2 {
            return Err(PatternError::NoGroup { pattern: pattern.to_owned() });
        }
        Ok(Self(regex))
    }
}

/// The pictures of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledPictures {
    /// The names of the classes, in the order of their code points.
    pub classes: Vec<String>,
    /// Each picture's file and the index of its class, in the order of the files' paths.
    pub pictures: Vec<(PathBuf, usize)>,
    /// The files beside them that are no pictures by their names. Hidden ones do not count.
    pub passed_over: usize,
}

/// Why the pictures of a data set cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// A folder cannot be read.
    #[error("{} cannot be read", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no picture.
    #[error("{} has no picture: {would_work} would work", folder.display())]
    NoPicture {
        /// The folder.
        folder: PathBuf,
        /// What would be one.
        would_work: &'static str,
    },
    /// A picture has no class in its path.
    #[error("{} does not match the expression {pattern}: {count} of {all} pictures do not", file.display())]
    NoClass {
        /// The first of them.
        file: PathBuf,
        /// The expression.
        pattern: String,
        /// How many there are.
        count: usize,
        /// The number of all pictures.
        all: usize,
    },
}

impl LabelledPictures {
    /// Lists the JPEG, PNG and WebP files of a data set. The folder `images` stands for the whole data set where no other folder
    /// there has a picture.
    ///
    /// # Errors
    /// [`LabelsError`]: a folder cannot be read, there is no picture, or one has no class in its path.
    pub fn list(root: &Path, labelling: &Labelling) -> Result<Self, LabelsError> {
        let root = with_pictures(root)?;
        let mut passed_over = 0;
        let mut pictures = |folder: &Path| -> Result<Vec<PathBuf>, LabelsError> {
            let files = entries(folder)?.into_iter().filter(|path| !path.is_dir());
            let (pictures, others): (Vec<_>, Vec<_>) = files.partition(|file| is_picture(file));
            passed_over += others.len();
            Ok(pictures)
        };
        let named: Vec<(PathBuf, String)> = match labelling {
            Labelling::Folder => {
                let mut named = Vec::new();
                for folder in entries(&root)?.into_iter().filter(|path| path.is_dir()) {
                    let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    named.extend(pictures(&folder)?.into_iter().map(|file| (file, class.clone())));
                }
                named
            }
            Labelling::Path(pattern) => by_path(pictures(&root)?, pattern)?,
        };
        if named.is_empty() {
            let would_work = match labelling {
                Labelling::Folder => "a folder for each class, with .jpg, .png or .webp files in it,",
                Labelling::Path(_) => "a folder of .jpg, .png or .webp files",
            };
            return Err(LabelsError::NoPicture { folder: root, would_work });
        }
        let mut classes: Vec<String> = named.iter().map(|(_, class)| class.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        let index = |class: &String| classes.binary_search(class).expect("all classes are listed");
        let mut pictures: Vec<_> = named.iter().map(|(file, class)| (file.clone(), index(class))).collect();
        pictures.sort_unstable();
        Ok(Self { classes, pictures, passed_over })
    }
}

fn by_path(files: Vec<PathBuf>, pattern: &PathPattern) -> Result<Vec<(PathBuf, String)>, LabelsError> {
    let all = files.len();
    let class = |file: PathBuf| {
        let class = pattern.class(&file.to_string_lossy().replace('\\', "/")).map(ToOwned::to_owned);
        class.map(|class| (file.clone(), class)).ok_or(file)
    };
    let (named, others): (Vec<_>, Vec<_>) = files.into_iter().map(class).partition(Result::is_ok);
    match others.into_iter().find_map(Result::err) {
        Some(file) => Err(LabelsError::NoClass { file, pattern: pattern.to_string(), count: all - named.len(), all }),
        None => Ok(named.into_iter().flatten().collect()),
    }
}

/// The folder of a data set's pictures. fastai's PETS has `annotations` beside `images`. Its masks lie one folder deeper.
fn with_pictures(root: &Path) -> Result<PathBuf, LabelsError> {
    let folders = entries(root)?.into_iter().filter(|path| path.is_dir());
    let (images, others): (Vec<_>, Vec<_>) = folders.partition(|folder| folder.ends_with(IMAGES));
    let Some(images) = images.into_iter().next() else { return Ok(root.to_owned()) };
    for other in others {
        if has_pictures(&other)? {
            return Ok(root.to_owned());
        }
    }
    Ok(images)
}

/// Whether a picture lies in a folder itself.
fn has_pictures(folder: &Path) -> Result<bool, LabelsError> {
    Ok(entries(folder)?.iter().any(|file| is_picture(file) && file.is_file()))
}

/// What is in a folder, without what is hidden, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, LabelsError> {
    let unreadable = |source| LabelsError::Folder { folder: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn is_picture(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::json;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        folder
    }

    fn listed(root: &Path, labelling: &Labelling) -> (Vec<String>, Vec<(String, usize)>, usize) {
        let LabelledPictures { classes, pictures, passed_over } = LabelledPictures::list(root, labelling).unwrap();
        let name = |file: PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
        (classes, pictures.into_iter().map(|(file, class)| (name(file), class)).collect(), passed_over)
    }

    #[test]
    fn paths_tell_the_classes_that_fastai_sees() {
        let rule = json("classifier/names.json");
        let pattern: PathPattern = rule["pattern"].as_str().unwrap().parse().unwrap();
        assert_eq!(pattern.to_string(), PathPattern::pets().to_string());
        let cases = rule["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 27);
        for case in cases {
            let path = case["path"].as_str().unwrap();
            assert_eq!(pattern.class(path), case["label"].as_str(), "{path:?}");
        }
        let mut classes: Vec<_> =
            cases.iter().filter_map(|case| pattern.class(case["path"].as_str().unwrap())).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(
            classes,
            rule["class_order"].as_array().unwrap().iter().map(|class| class.as_str().unwrap()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn only_pictures_are_listed_in_the_order_of_code_points() {
        let names = ["pug_2.jpg", "pug_10.jpg", "Bengal_1.jpg", "Bengal_1.mat", "notes.txt", ".pug_3.jpg"];
        let expected = (
            vec!["Bengal".to_owned(), "pug".to_owned()],
            vec![("Bengal_1.jpg".to_owned(), 0), ("pug_10.jpg".to_owned(), 1), ("pug_2.jpg".to_owned(), 1)],
            2,
        );
        // fastai's PETS has lists and masks beside its pictures.
        let annotations = ["annotations/list.txt", "annotations/trimaps/pug_2.png"];
        for (prefix, others) in [("", &annotations[..0]), ("images/", &annotations[..0]), ("images/", &annotations[..])]
        {
            let files: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
            let files: Vec<&str> = files.iter().map(String::as_str).chain(others.iter().copied()).collect();
            let folder = folder(&files);
            let labelling = Labelling::of(folder.path()).unwrap();
            assert!(matches!(labelling, Labelling::Path(_)), "{prefix}");
            assert_eq!(listed(folder.path(), &labelling), expected, "{prefix}");
        }
    }

    #[test]
    fn folders_are_classes() {
        let folder = folder(&["pug/1.PNG", "pug/readme.md", "Bengal/2.webp", "empty/notes.txt"]);
        let labelling = Labelling::of(folder.path()).unwrap();
        let (classes, pictures, passed_over) = listed(folder.path(), &labelling);
        assert_eq!((classes, passed_over), (vec!["Bengal".to_owned(), "pug".to_owned()], 2));
        assert_eq!(pictures, [("2.webp".to_owned(), 0), ("1.PNG".to_owned(), 1)]);
        // One of them may be called so.
        let folder = self::folder(&["images/1.jpg", "pug/2.jpg"]);
        let (classes, ..) = listed(folder.path(), &Labelling::of(folder.path()).unwrap());
        assert_eq!(classes, ["images", "pug"]);
    }

    #[test]
    fn a_picture_without_a_class_is_named() {
        let folder = folder(&["pug_1.jpg", "pug.jpg", "pug_2.jpeg"]);
        let refused = |labelling| LabelledPictures::list(folder.path(), &labelling).unwrap_err().to_string();
        let message = refused(Labelling::Path(PathPattern::pets()));
        assert!(message.contains("pug.jpg does not match") && message.ends_with("2 of 3 pictures do not"), "{message}");
        let message = refused(Labelling::Folder);
        assert!(
            message
                .ends_with("has no picture: a folder for each class, with .jpg, .png or .webp files in it, would work")
        );
        assert!("(".parse::<PathPattern>().unwrap_err().to_string().contains("no regular expression"));
        assert!("x".parse::<PathPattern>().unwrap_err().to_string().contains("no group"));
    }
}
