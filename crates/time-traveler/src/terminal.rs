//! What the terminal shows: progress on stderr, pictures on stdout.

pub(crate) mod contact_sheet;
pub(crate) mod graphics;
pub(crate) mod hop_log;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod status_lines;
pub(crate) mod support;
pub(crate) mod view;
