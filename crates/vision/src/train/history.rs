//! What every epoch of a training has shown.

use std::fmt::Write;

/// The rows of a training, one for each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<Epoch>,
}

/// What an epoch has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epoch {
    /// The phase, from 1.
    pub phase: usize,
    /// The epoch in its phase, from 1.
    pub epoch: usize,
    /// The mean of the steps' losses.
    pub train_loss: f64,
    /// The figures of the validation, by their names. All epochs have the same names.
    pub figures: Vec<(String, f64)>,
    /// The largest learning rate of its last step.
    pub rate: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The columns before the figures, and those after them.
const BEFORE: [&str; 3] = ["phase", "epoch", "train_loss"];
const AFTER: [&str; 2] = ["lr", "seconds"];

impl History {
    /// As CSV with a header. Numbers are written so that reading them gives the same ones.
    pub fn to_csv(&self) -> String {
        let names = self.epochs.first().map_or(&[][..], |epoch| &epoch.figures[..]);
        let names = names.iter().map(|(name, _)| name.as_str());
        let mut text = BEFORE.into_iter().chain(names).chain(AFTER).collect::<Vec<_>>().join(",");
        text.push('\n');
        for Epoch { phase, epoch, train_loss, figures, rate, seconds } in &self.epochs {
            // Writing to a string does not fail.
            let _ = write!(text, "{phase},{epoch},{train_loss}");
            for (_, value) in figures {
                let _ = write!(text, ",{value}");
            }
            let _ = writeln!(text, ",{rate},{seconds}");
        }
        text
    }

    /// Reads what [`to_csv`](Self::to_csv) wrote; `None`: it is something else.
    pub fn of_csv(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next()?;
        let names = &header.get(BEFORE.len()..header.len().checked_sub(AFTER.len())?)?;
        let epoch = |fields: Vec<&str>| {
            let [phase, epoch, train_loss, figures @ .., rate, seconds] = &fields[..] else { return None };
            let figure = |(name, value): (&&str, &&str)| Some(((*name).to_owned(), value.parse().ok()?));
            Some(Epoch {
                phase: phase.parse().ok()?,
                epoch: epoch.parse().ok()?,
                train_loss: train_loss.parse().ok()?,
                figures: names.iter().zip(figures).map(figure).collect::<Option<_>>()?,
                rate: rate.parse().ok()?,
                seconds: seconds.parse().ok()?,
            })
        };
        Some(Self { epochs: lines.map(epoch).collect::<Option<_>>()? })
    }

    /// How many epochs in a row a figure has not been below its smallest value so far.
    pub fn epochs_without_improvement(&self, figure: &str) -> usize {
        let values = self.epochs.iter().map(|epoch| epoch.figure(figure).unwrap_or(f64::INFINITY));
        let mut best = (f64::INFINITY, 0);
        for (index, value) in values.enumerate() {
            if value < best.0 || index == 0 {
                best = (value, index);
            }
        }
        self.epochs.len().saturating_sub(best.1 + 1)
    }
}

impl Epoch {
    /// A figure of the validation.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(losses: &[f64]) -> History {
        let epoch = |(index, loss): (usize, &f64)| Epoch {
            phase: 1,
            epoch: index + 1,
            train_loss: 0.1 + 0.2,
            figures: vec![("valid_loss".to_owned(), *loss), ("accuracy".to_owned(), 1.0 / 3.0)],
            rate: 3e-3,
            seconds: 1.5,
        };
        History { epochs: losses.iter().enumerate().map(epoch).collect() }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let history = history(&[1e-300, 2.0]);
        assert!(
            history
                .to_csv()
                .starts_with("phase,epoch,train_loss,valid_loss,accuracy,lr,seconds\n1,1,0.30000000000000004,")
        );
        assert_eq!(History::of_csv(&history.to_csv()), Some(history));
        assert_eq!(History::of_csv(&History::default().to_csv()), Some(History::default()));
        for text in ["", "phase", "a,b,c,d,e\n1,2", "phase,epoch,train_loss,lr,seconds\nx,1,1,1,1\n"] {
            assert_eq!(History::of_csv(text), None, "{text:?}");
        }
    }

    #[test]
    fn patience_counts_from_the_best_epoch() {
        for (losses, expected) in
            [(&[][..], 0), (&[1.0], 0), (&[1.0, 0.5], 0), (&[1.0, 0.5, 0.5, 0.7], 2), (&[f64::NAN, f64::NAN], 1)]
        {
            assert_eq!(history(losses).epochs_without_improvement("valid_loss"), expected, "{losses:?}");
        }
    }
}
