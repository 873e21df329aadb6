//! A stand-in for the command `docker`, as far as the SageMaker SDK's local mode calls it. Instead of a container it runs the program
//! that is declared for the image. `exec` puts it on the `PATH` of its command.

mod compose_file;
mod containers;
mod mounts;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use local_cloud::{Image, find_image};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::runtime::runtime;
use compose_file::ComposeFile;

/// The names that the stand-in is called by.
pub(crate) const NAMES: [&str; 2] = ["docker", "docker-compose"];
/// The variable with the path of the [`Settings`].
pub(crate) const SETTINGS: &str = "TIME_TRAVELER_CONTAINERS";

/// What the stand-in gets from `exec`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Settings {
    /// The images that have a program.
    pub(crate) images: Vec<Image>,
    /// The folder for what containers write outside their volumes.
    pub(crate) folder: PathBuf,
}

impl Settings {
    fn read() -> anyhow::Result<Self> {
        let path = std::env::var_os(SETTINGS).map(PathBuf::from);
        let path = path.with_context(|| format!("{SETTINGS} is not set: `time-traveler exec` would set it"))?;
        let text = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not of this version", path.display()))
    }
}

/// The arguments of the stand-in, if this process was started as `docker` or as `docker-compose`.
pub(crate) fn called_as() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os();
    let arg0 = arguments.next()?;
    let name = Path::new(&arg0).file_name()?.to_str()?;
    let compose = match NAMES.iter().position(|known| *known == name)? {
        0 => None,
        _ => Some("compose".into()),
    };
    Some(compose.into_iter().chain(arguments).collect())
}

/// Runs the stand-in. Its messages are on stdout, which the SDK shows; of a server, it hides stderr.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match answer(&words) {
        Ok(code) => code,
        Err(error) => {
            let in_compose = words.first() == Some(&"compose");
            match in_compose {
                // A message that cannot be written has nowhere else to go.
                true => drop(print_line!("error: {error:#}")),
                false => note!("error: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn answer(words: &[&str]) -> anyhow::Result<ExitCode> {
    match words {
        ["compose", "version", ..] | ["compose", "--version"] => {
            print_line!("Docker Compose version v2.0.0, the stand-in of `time-traveler exec`")?;
        }
        ["version" | "--version", ..] => print_line!("Docker version 0, the stand-in of `time-traveler exec`")?,
        ["info", ..] => print_line!("Server: programs of this machine, by `time-traveler exec`")?,
        ["context", "inspect", ..] => {
            let endpoints = json!({"docker": {"Host": "unix:///var/run/docker.sock"}});
            print_line!("{}", json!([{"Name": "default", "Endpoints": endpoints}]))?;
        }
        ["images", "-q", image] => {
            found(&Settings::read()?, image)?;
            print_line!("{image}")?;
        }
        ["pull", image] => {
            found(&Settings::read()?, image)?;
        }
        ["compose", rest @ ..] => {
            let file = compose_up(rest)?;
            let settings = Settings::read()?;
            let services = ComposeFile::read(&file)?.services;
            return runtime()?.block_on(containers::run(&services, &settings));
        }
        other => bail!(
            "`docker {}` is not here: `time-traveler exec` has a stand-in for what the SageMaker SDK's local mode calls, and no Docker",
            other.join(" ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// The image's program.
fn found<'a>(settings: &'a Settings, image: &str) -> anyhow::Result<&'a Image> {
    let found = find_image(&settings.images, image);
    found.with_context(|| "`time-traveler exec --image NAME=COMMAND` names the program of an image")
}

/// The file of `compose -f FILE up`.
fn compose_up(words: &[&str]) -> anyhow::Result<PathBuf> {
    let (mut file, mut command) = (None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "-f" | "--file" => file = words.next(),
            // Nothing is built, and every run ends with its first program.
            "--build" | "--abort-on-container-exit" => {}
            "up" => command = Some("up"),
            other => {
                bail!("`docker compose {other}` is not here: `-f FILE up --build --abort-on-container-exit` would work")
            }
        }
    }
    command.context("`docker compose` has no command here but `up` and `version`")?;
    Ok(file.context("`docker compose up` needs -f FILE")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_local_mode_calls_is_there() {
        assert_eq!(
            compose_up(&["-f", "a/b.yaml", "up", "--build", "--abort-on-container-exit"]).unwrap(),
            Path::new("a/b.yaml")
        );
        for (words, named) in [
            (&["up"][..], "needs -f FILE"),
            (&["-f", "x", "down"], "`docker compose down`"),
            (&["-f", "x", "up", "--detach"], "`docker compose --detach`"),
            (&["-f", "x"], "no command here but `up`"),
        ] {
            let error = compose_up(words).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let refused = answer(&["run", "--rm", "x"]).unwrap_err().to_string();
        assert!(refused.starts_with("`docker run --rm x` is not here"), "{refused}");
    }
}
