//! The programs that `up` runs as child processes. This executable contains them all and chooses by the name it is called by
//! (`argv[0]`), so that one file is enough. Each runs the same code as its own binary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use local_cloud::Program;

/// A program in this executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    ImageProcessor,
    JobTracker,
    Serve,
}

impl BuiltIn {
    const ALL: [Self; 3] = [Self::ImageProcessor, Self::JobTracker, Self::Serve];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ImageProcessor => "image-processor",
            Self::JobTracker => "job-tracker",
            Self::Serve => "serve",
        }
    }

    /// The child process that runs it, with these variables in its environment.
    pub(crate) fn program<'a>(self, environment: impl IntoIterator<Item = (&'a str, String)>) -> Program {
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Program { path: this_program(), arg0: self.name().into(), arguments: Vec::new(), environment }
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
                note!("{}: {error:#}", self.name());
                ExitCode::FAILURE
            }
        }
    }
}

/// The program that this process was started as; `None` for the command line itself.
pub(crate) fn called_as() -> Option<BuiltIn> {
    let arg0 = std::env::args_os().next()?;
    let name = Path::new(&arg0).file_name()?.to_str()?;
    BuiltIn::ALL.into_iter().find(|program| program.name() == name)
}

/// The executable of this process. On Linux this is a link of the process, which works even after a rebuild has replaced the file.
fn this_program() -> PathBuf {
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() {
        return running.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| "time-traveler".into())
}
