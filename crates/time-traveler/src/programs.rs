//! The programs that `up` runs as child processes. They live in this one file and go by the name they are called by, so
//! that the command line can be copied anywhere; what they run is what their own binaries run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use local_cloud::Program;

/// A program inside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    ImageProcessor,
    JobTracker,
    Serve,
}

impl Inner {
    const ALL: [Self; 3] = [Self::ImageProcessor, Self::JobTracker, Self::Serve];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ImageProcessor => "image-processor",
            Self::JobTracker => "job-tracker",
            Self::Serve => "serve",
        }
    }

    /// How to start it as a child process, with these variables in its environment.
    pub(crate) fn program<'a>(self, environment: impl IntoIterator<Item = (&'a str, String)>) -> Program {
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Program { path: this_program(), arg0: self.name().into(), environment }
    }

    pub(crate) fn run(self) -> ExitCode {
        let ended = match self {
            Self::ImageProcessor => lambda::image_processor::main(),
            Self::JobTracker => lambda::job_tracker::main(),
            Self::Serve => container::main(),
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", self.name());
                ExitCode::FAILURE
            }
        }
    }
}

/// The program that this process was started as, if it was not the command line itself.
pub(crate) fn called_as() -> Option<Inner> {
    let arg0 = std::env::args_os().next()?;
    let name = Path::new(&arg0).file_name()?.to_str()?;
    Inner::ALL.into_iter().find(|inner| inner.name() == name)
}

/// The file of this process. On Linux by way of the process itself, which works even when the file was replaced or
/// removed since, as a rebuild does.
fn this_program() -> PathBuf {
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() {
        return running.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| "time-traveler".into())
}
