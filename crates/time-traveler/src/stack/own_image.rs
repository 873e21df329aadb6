//! Images of the user's, for the training jobs, models and endpoints that scripts create.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use local_cloud::{Image, Program};

use super::REPOSITORY;

/// Variables of this process's environment that the program gets too: CUDA's, and where libraries are.
const INHERITED: [&str; 3] = ["CUDA_PATH", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"];

/// An image and the program that stands for it: `NAME=COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnImage {
    name: String,
    /// The program and its first arguments.
    command: Vec<String>,
}

impl FromStr for OwnImage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .ok_or("it has no `=`: NAME=COMMAND would work, such as my-model='.venv/bin/python model.py'")?;
        Self::check_name(name)?;
        Self::new(name, command)
    }
}

impl OwnImage {
    /// Whether an image may have this name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check_name(name: &str) -> Result<(), String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(format!(
                "{name:?} is no image's name: the last part of its URI, without tag, would work (letters, digits, `-`, `_` and `.`)"
            ));
        }
        if name == REPOSITORY {
            return Err(format!("{name:?} is the built-in image: choose another name, or use --model-server"));
        }
        Ok(())
    }

    /// The image of a name, and a command as a shell would split it.
    ///
    /// # Errors
    /// The command is empty, or a quote has no end.
    pub(super) fn new(name: &str, command: &str) -> Result<Self, String> {
        let command = shlex::split(command).ok_or_else(|| format!("{command:?} has a quote without an end"))?;
        if command.is_empty() {
            return Err(format!("the image {name} has no command"));
        }
        Ok(Self { name: name.to_owned(), command })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The image, with the absolute path of its program.
    ///
    /// # Errors
    /// Where the program is not there, or cannot be executed.
    pub(super) fn image(&self) -> anyhow::Result<Image> {
        self.image_in(Path::new(""))
    }

    /// As [`Self::image`]. Relative paths are relative to this folder.
    pub(super) fn image_in(&self, folder: &Path) -> anyhow::Result<Image> {
        let path = found(&self.command[0], folder).with_context(|| format!("the image {} cannot run", self.name))?;
        let arguments = self.command[1..].iter().map(|word| absolute(word, folder).into()).collect();
        let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let mut environment: BTreeMap<String, String> = inherited.collect();
        // As the framework images of SageMaker set it: otherwise Python keeps the log to itself until it ends.
        environment.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
        if let Some(folder) = virtual_environment(&path) {
            let others = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(folder.join("bin")).chain(std::env::split_paths(&others));
            let joined = std::env::join_paths(folders).context("PATH cannot be set")?;
            environment.insert("PATH".to_owned(), joined.to_string_lossy().into_owned());
            environment.insert("VIRTUAL_ENV".to_owned(), folder.display().to_string());
        }
        let program = Program { arg0: path.clone().into(), path, arguments, environment };
        Ok(Image { repository: self.name.clone(), program, trains: true })
    }
}

/// The file of a program: a path, or a name that is looked up in `PATH`. Links are not followed, since a virtual environment's Python is
/// one.
fn found(program: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let path = if program.contains('/') {
        std::path::absolute(folder.join(program)).with_context(|| format!("{program} is no path"))?
    } else {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
        paths
            .into_iter()
            .find(|path| is_executable(path))
            .with_context(|| format!("{program} is in no folder of PATH"))?
    };
    anyhow::ensure!(path.is_file(), "{} is not there", path.display());
    anyhow::ensure!(
        is_executable(&path),
        "{} cannot be executed: a program of Python runs by its interpreter, such as `python3 {program}`",
        path.display()
    );
    Ok(path)
}

/// An argument, as an absolute path if it is the path of a file here: a job may name another working folder.
fn absolute(word: &str, folder: &Path) -> String {
    let path = folder.join(word);
    let is_file = !word.starts_with('-') && path.is_file();
    match std::path::absolute(path) {
        Ok(path) if is_file => path.display().to_string(),
        _ => word.to_owned(),
    }
}

fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    return path
        .metadata()
        .is_ok_and(|file| file.is_file() && std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o111 != 0);
    #[cfg(not(unix))]
    path.is_file()
}

/// The folder of the virtual environment that a Python belongs to.
fn virtual_environment(python: &Path) -> Option<PathBuf> {
    let folder = python.parent()?.parent()?;
    folder.join("pyvenv.cfg").is_file().then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<OwnImage, String> {
        text.parse()
    }

    #[test]
    fn a_command_is_split_as_a_shell_splits_it() {
        let image = parsed("my-model.2='a b/python' model.py --x=1 \"two words\"").unwrap();
        assert_eq!(image.name(), "my-model.2");
        assert_eq!(image.command, ["a b/python", "model.py", "--x=1", "two words"]);
        for (bad, words) in [
            ("model.py", "NAME=COMMAND would work"),
            ("=python", "is no image's name"),
            ("team/model:1=python", "without tag"),
            ("time-traveler=python", "built-in"),
            ("m=", "no command"),
            ("m='python", "quote"),
        ] {
            let error = parsed(bad).unwrap_err();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_program_is_found_with_its_virtual_environment() {
        let image = parsed("m=sh -c true").unwrap().image().unwrap();
        assert!(image.program.path.is_absolute() && image.program.path.ends_with("sh"));
        assert!(!image.program.environment.contains_key("VIRTUAL_ENV"));

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("bin")).unwrap();
        std::fs::write(path("pyvenv.cfg"), "").unwrap();
        std::fs::write(path("bin/model.py"), "").unwrap();
        std::os::unix::fs::symlink("/bin/sh", path("bin/python")).unwrap();
        let command = format!("m={} {}", path("bin/python").display(), path("bin/model.py").display());
        let program = parsed(&command).unwrap().image().unwrap().program;
        assert_eq!(program.path, path("bin/python"), "the link is the environment's");
        assert_eq!(program.environment["VIRTUAL_ENV"], folder.path().display().to_string());
        assert!(program.environment["PATH"].starts_with(&path("bin").display().to_string()));

        for (bad, words) in [
            (format!("m={}", path("bin/model.py").display()), "cannot be executed"),
            ("m=/nonexistent/model".to_owned(), "/nonexistent/model is not there"),
            ("m=no-such-program".to_owned(), "no-such-program is in no folder of PATH"),
        ] {
            let error = format!("{:#}", parsed(&bad).unwrap().image().unwrap_err());
            assert!(error.starts_with("the image m cannot run") && error.contains(words), "{error}");
        }
    }
}
