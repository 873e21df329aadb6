//! The processor time of this process.

use std::time::Duration;

/// What `/proc` counts processor time in, on every Linux machine.
const TICK: Duration = Duration::from_millis(10);

/// The processor time that all threads of this process have used, those of the system's calls included: `utime` and `stime` of
/// `/proc/self/stat`. `None` on systems other than Linux.
pub(crate) fn used() -> Option<Duration> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may have spaces.
    let (_, fields) = status.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(|field| field.parse::<u32>().ok());
    Some(TICK * (ticks.next()?? + ticks.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn work_uses_the_processor() {
        let before = used().unwrap();
        let mut sum = 0_u64;
        while used().unwrap() < before + 2 * TICK {
            sum = (0..100_000).fold(sum, |sum, number| std::hint::black_box(sum ^ number));
        }
        assert!(used().unwrap() > before);
    }
}
