use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// How far long work has come, on stderr: a bar on a terminal, plain lines elsewhere.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    told: u64,
}

impl Progress {
    /// Of work that is counted in bytes, of which every tenth is told.
    pub(crate) fn bytes(what: &'static str) -> Self {
        Self::new(what, "{prefix} {wide_bar} {bytes} of {total_bytes}, {eta} left")
    }

    /// Of work that is counted in a few pieces.
    pub(crate) fn pieces(what: &'static str) -> Self {
        Self::new(what, "{prefix} {wide_bar} {pos} of {len}, {elapsed}")
    }

    fn new(what: &'static str, template: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_prefix(what)
        });
        Self { what, bar, told: 0 }
    }

    /// So much of all is done.
    pub(crate) fn at(&mut self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            return;
        }
        let percent = 100 * done / all.max(1);
        if percent / 10 > self.told {
            self.told = percent / 10;
            eprintln!("{} {percent} %", self.what);
        }
    }

    /// There is nothing more to tell.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
