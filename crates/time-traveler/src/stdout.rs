//! Results on stdout.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

use crate::escape;

/// Prints a line to stdout, as `println!` does, but returns an error where that panics.
macro_rules! print_line {
    ($($text:tt)*) => { $crate::stdout::write_line(format_args!($($text)*)) };
}

/// Writes a line to stdout; [`print_line!`] is the short form. Characters that a terminal acts on are escaped.
///
/// # Errors
/// Where stdout cannot be written, on a full disk for instance. A closed pipe is no error: `head` closes it when it has read
/// enough.
pub(crate) fn write_line(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    unless_closed(io::stdout().write_all(escape::lines(&format!("{text}\n")).as_bytes()))
}

/// Writes bytes to stdout and flushes it.
///
/// # Errors
/// Those of [`write_line`].
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    unless_closed(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// The result of writing to stdout, where a closed pipe is no error.
pub(crate) fn unless_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout cannot be written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_no_error() {
        assert!(unless_closed(Ok(())).is_ok());
        assert!(unless_closed(Err(ErrorKind::BrokenPipe.into())).is_ok());
        let full = unless_closed(Err(ErrorKind::StorageFull.into())).unwrap_err();
        assert!(format!("{full:#}").starts_with("stdout cannot be written: "), "{full:#}");
    }
}
