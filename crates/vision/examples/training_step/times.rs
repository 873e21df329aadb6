//! The times of steps.

use std::time::Duration;

/// The first steps take memory from the system.
pub(crate) const WARM_UP: usize = 2;

/// What `/proc` counts processor time in, on every Linux machine.
const TICK: Duration = Duration::from_millis(10);

/// The times of the parts of steps.
#[derive(Debug)]
pub(crate) struct Times<const N: usize> {
    names: [&'static str; N],
    steps: Vec<[Duration; N]>,
    /// The processor time of the whole process at the end of the first steps.
    before: Option<Duration>,
}

impl<const N: usize> Times<N> {
    pub(crate) fn new(names: [&'static str; N]) -> Self {
        Self { names, steps: Vec::new(), before: None }
    }

    pub(crate) fn push(&mut self, step: [Duration; N]) {
        self.steps.push(step);
        if self.steps.len() == WARM_UP {
            self.before = used();
        }
    }

    /// Prints the median and the least time of each part, and the mean time of the processor for a step, in milliseconds.
    pub(crate) fn print(&self) {
        if let Some((after, before)) = used().zip(self.before) {
            let steps = (self.steps.len() - WARM_UP) as f64;
            println!("processor: mean {:.1} ms", 1e3 * (after - before).as_secs_f64() / steps);
        }
        for (index, name) in self.names.iter().enumerate() {
            let steps = self.steps[WARM_UP..].iter();
            let mut column: Vec<f64> = steps.map(|step| 1e3 * step[index].as_secs_f64()).collect();
            column.sort_by(f64::total_cmp);
            println!("{name}: median {:.1} ms, least {:.1} ms", column[column.len() / 2], column[0]);
        }
    }
}

/// The processor time of all threads: `utime` and `stime` of `/proc/self/stat`. `None` on systems other than Linux.
fn used() -> Option<Duration> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = status.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(|field| field.parse::<u32>().ok());
    Some(TICK * (ticks.next()?? + ticks.next()??))
}
