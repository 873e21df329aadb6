//! `completions` and `man`: the command line as shells and readers of manuals take it.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Command, ValueHint};

use crate::cli::{self, Completions, Man};

pub(crate) fn completions(completions: &Completions) -> anyhow::Result<()> {
    let mut command = hinted(cli::command());
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut command, "time-traveler", &mut script);
    print(&script)
}

pub(crate) fn run(man: &Man) -> anyhow::Result<()> {
    // `help` repeats what the other pages say.
    let command = cli::command().disable_help_subcommand(true);
    let Some(folder) = &man.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&page);
    };
    let made = std::fs::create_dir_all(folder);
    made.with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("pages cannot be written into {}", folder.display()))
}

/// Prints what may be long: whoever has read enough of it is no failure.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Has shells complete folders and addresses where an option takes nothing else. Files are what clap expects of a path.
fn hinted(command: Command) -> Command {
    let hint = |argument: clap::Arg| {
        let hint = match argument.get_value_names() {
            Some([name]) if name == "DIR" => ValueHint::DirPath,
            Some([name]) if name == "URL" => ValueHint::Url,
            _ => return argument,
        };
        argument.value_hint(hint)
    };
    command.mut_args(hint).mut_subcommands(hinted)
}
