//! The log of a training: one line for each event, whose figures SageMaker's metric definitions can find.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use vision::train::{Event, Outcome};

use super::job::Notice;

/// The time between lines about steps.
const BETWEEN: Duration = Duration::from_secs(5);

/// Writes the lines to the standard output.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// When the last line about a step was written.
    step: Option<Instant>,
}

impl Lines {
    pub(super) fn say(&mut self, notice: &Notice) {
        match notice {
            Notice::Text(text) => print(text),
            Notice::Event(Event::Step { steps, of, .. })
                if steps != of && self.step.is_some_and(|last| last.elapsed() < BETWEEN) => {}
            Notice::Event(event) => {
                if matches!(event, Event::Step { .. }) {
                    self.step = Some(Instant::now());
                }
                if let Some(line) = line(event) {
                    print(&line);
                }
            }
        }
    }

    pub(super) fn end(&self, outcome: Outcome) {
        print(match outcome {
            Outcome::Done => "done",
            Outcome::Stopped => {
                "stopped: the model is written, and the training can go on from its checkpoint if it keeps one"
            }
        });
    }
}

/// The line of an event, if it is worth one.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Step { steps, of, loss, parts, rate } => {
            let mut line = format!("step {steps}/{of}: total_loss: {loss:.5}");
            for (name, value) in *parts {
                // Writing to a string does not fail.
                let _ = write!(line, " {name}: {value:.5}");
            }
            let _ = write!(line, " lr: {rate:.3e}");
            line
        }
        Event::Epoch(epoch) => {
            let mut line = format!("phase {} epoch {}: train_loss: {:.5}", epoch.phase, epoch.epoch, epoch.train_loss);
            for (name, value) in &epoch.figures {
                let _ = write!(line, " {name}: {value:.5}");
            }
            let _ = write!(line, " lr: {:.3e} seconds: {:.1}", epoch.rate, epoch.seconds);
            line
        }
        Event::Resumed { steps } => format!("goes on after step {steps}"),
        Event::Spoiled(spoiled) => format!("left out: {}: {}", spoiled.example, spoiled.reason),
        Event::EndedEarly => "the validation loss has not improved: the training ends early".to_owned(),
        Event::Saved => return None,
    })
}

/// A reader that has gone does not end the training.
fn print(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

#[cfg(test)]
mod tests {
    use vision::train::{Epoch, Spoiled};

    use super::*;

    #[test]
    fn metric_definitions_find_their_figures() {
        let step = Event::Step { steps: 3, of: 12, loss: 0.41, parts: &[("loss_cls", 0.25)], rate: 3e-3 };
        assert_eq!(line(&step).unwrap(), "step 3/12: total_loss: 0.41000 loss_cls: 0.25000 lr: 3.000e-3");
        let figures = vec![("valid_loss".to_owned(), 0.5), ("accuracy".to_owned(), 0.97)];
        let epoch = Epoch { phase: 1, epoch: 2, train_loss: 0.25, figures, rate: 1e-4, seconds: 7.25 };
        let text = line(&Event::Epoch(&epoch)).unwrap();
        assert_eq!(
            text,
            "phase 1 epoch 2: train_loss: 0.25000 valid_loss: 0.50000 accuracy: 0.97000 lr: 1.000e-4 seconds: 7.2"
        );
        let spoiled = Spoiled { example: "a.jpg".to_owned(), reason: "it is empty".to_owned() };
        assert_eq!(line(&Event::Spoiled(&spoiled)).unwrap(), "left out: a.jpg: it is empty");
    }
}
