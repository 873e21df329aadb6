//! Progress of long work, on stderr.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal; elsewhere a line for every tenth of the work.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    /// Tenths that have been reported.
    tenths: u64,
}

impl Progress {
    /// Of work that is counted in bytes.
    pub(crate) fn bytes(what: &'static str) -> Self {
        Self::new(what, "{prefix} {wide_bar} {bytes} of {total_bytes}, {eta} left")
    }

    /// Of work that is counted in a few pieces, such as pictures.
    pub(crate) fn pieces(what: &'static str) -> Self {
        Self::new(what, "{prefix} {wide_bar} {pos} of {len}, {elapsed}")
    }

    /// Of many steps of about one length, with a figure of the last one.
    pub(crate) fn steps(what: &'static str) -> Self {
        Self::new(what, "{prefix} {wide_bar} {pos} of {len}, {msg}, {eta} left")
    }

    /// Of pieces whose number nobody knows. Nothing is said where stderr is no terminal.
    pub(crate) fn endless(what: &'static str) -> Self {
        Self::new(what, "{prefix} {spinner} {pos}, {elapsed}")
    }

    fn new(what: &'static str, template: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_prefix(what)
        });
        Self { what, bar, tenths: 0 }
    }

    /// Shows that `done` of `all` is done.
    pub(crate) fn at(&mut self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            return;
        }
        let percent = 100 * done / all.max(1);
        if percent / 10 > self.tenths {
            self.tenths = percent / 10;
            note!("{} {percent} %", self.what);
        }
    }

    /// Shows that `done` pieces are done.
    pub(crate) fn count(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Shows a figure beside the bar.
    pub(crate) fn say(&self, figure: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(figure.to_owned());
        }
    }

    /// Writes lines above the bar.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
