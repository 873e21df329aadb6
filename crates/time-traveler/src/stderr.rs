//! News on stderr.

use std::fmt;
use std::io::{self, Write};

use crate::escape;

/// Prints a line to stderr, as `eprintln!` does, but goes on where stderr cannot be written, where that panics.
macro_rules! note {
    ($($text:tt)*) => { $crate::stderr::write_line(format_args!($($text)*)) };
}

/// Writes a line to stderr; [`note!`] is the short form.
pub(crate) fn write_line(text: fmt::Arguments<'_>) {
    // Where stderr is closed or its disk is full, no place is left to say so.
    let _ = io::stderr().write_all(escape::lines(&format!("{text}\n")).as_bytes());
}
