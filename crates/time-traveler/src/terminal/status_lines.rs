//! The status of each of several portraits, on stderr.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use pipeline::{JobView, PortraitId, Status};

use crate::client::delivery::Step;
use crate::escape::{self, Shown};

/// On a terminal, a live line for each portrait, which ends with a mark; elsewhere, a line for each change.
pub(crate) struct StatusLines {
    lines: Vec<Line>,
}

struct Line {
    id: PortraitId,
    bar: Option<ProgressBar>,
    /// The state shown last.
    state: Mutex<&'static str>,
}

impl StatusLines {
    pub(crate) fn of(ids: &[PortraitId]) -> Self {
        let all = std::io::stderr().is_terminal().then(MultiProgress::new);
        let width = ids.iter().map(|id| id.as_str().len()).max().unwrap_or(0);
        let line = |id: &PortraitId| {
            let bar = all.as_ref().map(|all| {
                let bar =
                    ProgressBar::new_spinner().with_prefix(format!("{:<width$}", id.as_str())).with_style(style("✓"));
                let bar = all.add(bar.with_message("waiting"));
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            });
            Line { id: id.clone(), bar, state: Mutex::default() }
        };
        Self { lines: ids.iter().map(line).collect() }
    }

    /// Ends the live lines, so that later output begins on a new line.
    pub(crate) fn end(self) {
        if self.lines.iter().any(|line| line.bar.is_some()) {
            note!("");
        }
    }

    /// Shows a portrait's step.
    pub(crate) fn show(&self, number: usize, step: &Step<'_>) {
        let Some(line) = self.lines.get(number) else { return };
        match step {
            Step::Replacing(job) => line.say(&replaces(job)),
            Step::Uploading { .. } => {
                line.show("uploading");
                if let Some(bar) = &line.bar {
                    bar.reset_elapsed();
                }
            }
            Step::Uploaded => line.show("queued"),
            Step::Seen(job) if job.status == Status::Pending => line.show("queued"),
            Step::Seen(job) if job.status == Status::Processing => line.show("working"),
            // `Fetched` or `Failed` follows.
            Step::Seen(_) => {}
            Step::Fetching => line.show("fetching"),
            Step::Fetched { folder, .. } => line.finish("done", &format!("done: {}", folder.shown()), "✓"),
            Step::Failed(reason) => line.finish("failed", &escape::line(reason), "✗"),
        }
    }
}

impl Line {
    fn show(&self, state: &'static str) {
        let mut shown = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *shown, state) == state {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_message(state),
            None => note!("{}: {state}", self.id),
        }
    }

    /// Prints a sentence that stays.
    fn say(&self, sentence: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("{}: {sentence}", self.id)),
            None => note!("{}: {sentence}", self.id),
        }
    }

    /// Off a terminal, only the state is shown: the command ends with all reasons.
    fn finish(&self, state: &'static str, sentence: &str, mark: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(mark));
                bar.finish_with_message(sentence.to_owned());
            }
            None => self.show(state),
        }
    }
}

/// What an upload does to the job that its id has already.
fn replaces(job: &JobView) -> String {
    let ages = job.ages.as_ref().map(|ages| format!(" with the ages {ages}")).unwrap_or_default();
    let (created, status) = (job.created_at, job.status.as_str());
    format!("replaces the job of {created}{ages}, {status}; another --id keeps it")
}

/// The style of a line that ends with a mark.
fn style(mark: &str) -> ProgressStyle {
    let colour = if mark == "✓" { "green" } else { "red" };
    let template = format!("{{spinner:.{colour}}} {{prefix}} {{seconds:>7}}  {{wide_msg}}");
    let seconds = |state: &ProgressState, text: &mut dyn Write| {
        // Writing to a string does not fail.
        let _ = write!(text, "{:.1} s", state.elapsed().as_secs_f64());
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("seconds", seconds)
        .tick_chars(&format!("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏{mark}"))
}
