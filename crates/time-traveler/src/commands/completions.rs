//! `completions`: a script by which a shell completes these commands.

use clap::{Arg, Args, Command, ValueHint};
use clap_complete::Shell;

use crate::stdout;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell; bash and zsh read the script by `source <(time-traveler completions SHELL)`
    shell: Shell,
}

/// Prints the script. `command` is the whole command line.
pub(crate) fn run(completions: &Completions, command: Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut hinted(command), "time-traveler", &mut script);
    stdout::write(&script)
}

/// Lets shells complete only folders for `DIR` and addresses for `URL`. Clap itself expects files of every path.
fn hinted(command: Command) -> Command {
    let hint = |argument: Arg| {
        let hint = match argument.get_value_names() {
            Some([name]) if name == "DIR" => ValueHint::DirPath,
            Some([name]) if name == "URL" => ValueHint::Url,
            _ => return argument,
        };
        argument.value_hint(hint)
    };
    command.mut_args(hint).mut_subcommands(hinted)
}
