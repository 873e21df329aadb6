//! `man`: the manual's pages.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};

use crate::escape::Shown;
use crate::stdout;

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder for the pages, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints or writes the manual. `command` is the whole command line.
pub(crate) fn run(man: &Man, command: Command) -> anyhow::Result<()> {
    // Pages for `help` would repeat the other pages.
    let command = command.disable_help_subcommand(true);
    let Some(folder) = &man.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return stdout::write(&page);
    };
    let created = std::fs::create_dir_all(folder);
    created.with_context(|| format!("the folder {} cannot be created", folder.shown()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("pages cannot be written into {}", folder.shown()))
}
