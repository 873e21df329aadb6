//! A plan of faults, and its text form.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// S3's event of an object is delivered twice: EventBridge delivers at least once.
    DuplicateEvent,
    /// S3's event of an object is delayed, so that later ones overtake it.
    DelayEvent,
    /// SNS delivers a message twice.
    DuplicateNotice,
    /// SNS delivers a message late, so that later ones overtake it.
    DelayNotice,
    /// SNS never delivers a message.
    DropNotice,
    /// A function is killed right before or right after one of the first AWS calls of an invocation.
    Kill,
    /// One of the first AWS calls of an invocation never returns, so that the function is killed as at its timeout.
    Hang,
    /// A service refuses a call with its throttling error.
    Throttle,
    /// A service answers a call with an internal error, without carrying it out.
    Fail,
    /// A service carries out a call, but answers with an internal error.
    LoseAnswer,
    /// An index shows its table as it was a second ago: reads of an index are eventually consistent.
    StaleIndex,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::DuplicateEvent,
        Self::DelayEvent,
        Self::DuplicateNotice,
        Self::DelayNotice,
        Self::DropNotice,
        Self::Kill,
        Self::Hang,
        Self::Throttle,
        Self::Fail,
        Self::LoseAnswer,
        Self::StaleIndex,
    ];

    /// Its name in a plan: `drop-notice`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DuplicateEvent => "duplicate-event",
            Self::DelayEvent => "delay-event",
            Self::DuplicateNotice => "duplicate-notice",
            Self::DelayNotice => "delay-notice",
            Self::DropNotice => "drop-notice",
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Throttle => "throttle",
            Self::Fail => "fail",
            Self::LoseAnswer => "lose-answer",
            Self::StaleIndex => "stale-index",
        }
    }
}

/// Which faults strike, and how often. Whether a fault strikes follows from the seed, from the call or message, and from the number
/// of equal ones before. So a plan can be repeated, in whatever order threads run.
///
/// As text: `seed=7,drop-notice=0.05,kill=0.02`. `all` is every fault, and a later entry overrides an earlier one. `delay-seconds` is
/// the longest delay, 5 by default. `hang-seconds` is how long a call hangs, 3 by default.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// The seed, from which all faults follow.
    pub seed: u64,
    /// The rate of each fault of [`Fault::ALL`], in its order: 0 to 1.
    rates: [f64; Fault::ALL.len()],
    /// The longest delay of an event or a notice.
    pub longest_delay: Duration,
    /// How long a call hangs before the function is killed.
    pub hang: Duration,
}

impl FaultPlan {
    /// A plan without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rates: [0.0; Fault::ALL.len()],
            longest_delay: Duration::from_secs(5),
            hang: Duration::from_secs(3),
        }
    }

    /// Sets the rate of every fault, 0 to 1.
    #[must_use]
    pub fn with_all(mut self, rate: f64) -> Self {
        self.rates = [rate.clamp(0.0, 1.0); Fault::ALL.len()];
        self
    }

    /// Sets the rate of a fault, 0 to 1.
    #[must_use]
    pub fn with(mut self, fault: Fault, rate: f64) -> Self {
        self.rates[fault as usize] = rate.clamp(0.0, 1.0);
        self
    }

    /// The rate of a fault, 0 to 1.
    pub fn rate(&self, fault: Fault) -> f64 {
        self.rates[fault as usize]
    }

    /// Whether a fault strikes the `nth` call or message of this text.
    pub(super) fn strikes(&self, fault: Fault, what: &str, nth: u32) -> bool {
        self.share(fault.name(), what, nth) < self.rate(fault)
    }

    /// A pseudo-random number from 0 to 1 (exclusive), which follows from the seed and the question.
    pub(super) fn share(&self, question: &str, what: &str, nth: u32) -> f64 {
        // SipHash with fixed keys.
        let mut hasher = DefaultHasher::new();
        (self.seed, question, what, nth).hash(&mut hasher);
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Why a text is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultPlanError {
    /// An entry that is not `name=value`.
    #[error("{0:?} is not name=value: seed=7,drop-notice=0.05 would work")]
    Entry(String),
    /// An unknown name.
    #[error("there is no fault {0:?}: seed, delay-seconds, hang-seconds, all, {names} are there", names = Fault::ALL.map(Fault::name).join(", "))]
    Name(String),
    /// A value out of range.
    #[error("{name}={value}: {needed} would work")]
    Value {
        /// The entry's name.
        name: String,
        /// The value.
        value: String,
        /// The values that would work.
        needed: &'static str,
    },
}

impl FromStr for FaultPlan {
    type Err = FaultPlanError;

    fn from_str(text: &str) -> Result<Self, FaultPlanError> {
        let mut plan = Self::new(0);
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').ok_or_else(|| FaultPlanError::Entry(entry.to_owned()))?;
            let wrong = |needed| FaultPlanError::Value { name: name.to_owned(), value: value.to_owned(), needed };
            let rate =
                || value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or(wrong("a share of 0 to 1"));
            match (name, Fault::ALL.into_iter().find(|fault| fault.name() == name)) {
                ("seed", _) => plan.seed = value.parse().map_err(|_| wrong("a whole number"))?,
                ("delay-seconds" | "hang-seconds", _) => {
                    let seconds = value.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
                    let time = Duration::from_secs_f64(seconds.ok_or(wrong("0 to 3600 seconds"))?);
                    *if name == "delay-seconds" { &mut plan.longest_delay } else { &mut plan.hang } = time;
                }
                ("all", _) => plan = plan.with_all(rate()?),
                (_, Some(fault)) => plan = plan.with(fault, rate()?),
                (_, None) => return Err(FaultPlanError::Name(name.to_owned())),
            }
        }
        Ok(plan)
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed={}", self.seed)?;
        for fault in Fault::ALL.into_iter().filter(|fault| self.rate(*fault) > 0.0) {
            write!(formatter, ",{}={}", fault.name(), self.rate(fault))?;
        }
        write!(
            formatter,
            ",delay-seconds={},hang-seconds={}",
            self.longest_delay.as_secs_f64(),
            self.hang.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_text_form() {
        let plan: FaultPlan = "seed=7, all=0.05,drop-notice=0.5,delay-seconds=2".parse().unwrap();
        assert_eq!((plan.seed, plan.longest_delay), (7, Duration::from_secs(2)));
        assert_eq!((plan.rate(Fault::Kill), plan.rate(Fault::DropNotice)), (0.05, 0.5));
        assert_eq!(plan.to_string().parse::<FaultPlan>().unwrap(), plan);
        assert_eq!("".parse::<FaultPlan>().unwrap(), FaultPlan::new(0));
        for (fault, n) in Fault::ALL.into_iter().zip(0..) {
            assert_eq!(fault as usize, n, "{}", fault.name());
        }
    }

    #[test]
    fn bad_entries_are_named() {
        for (text, named) in [
            ("chaos", "\"chaos\" is not name=value"),
            (
                "drop-notices=0.1",
                "there is no fault \"drop-notices\": seed, delay-seconds, hang-seconds, all, duplicate-event",
            ),
            ("kill=5", "kill=5: a share of 0 to 1 would work"),
            ("kill=NaN", "kill=NaN"),
            ("seed=x", "seed=x: a whole number"),
            ("delay-seconds=-1", "delay-seconds=-1: 0 to 3600"),
        ] {
            let message = text.parse::<FaultPlan>().unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn faults_strike_at_their_rates_and_repeat_with_the_seed() {
        let plan = FaultPlan::new(3).with(Fault::Kill, 0.05);
        let struck =
            |plan: &FaultPlan| (0..10_000).map(|nth| plan.strikes(Fault::Kill, "call", nth)).collect::<Vec<_>>();
        let often = struck(&plan).iter().filter(|struck| **struck).count();
        assert!((400..600).contains(&often), "{often}");
        assert_eq!(struck(&plan), struck(&plan.clone()));
        assert_ne!(struck(&plan), struck(&FaultPlan { seed: 4, ..plan.clone() }));
        assert!((0..1000).all(|nth| !plan.strikes(Fault::Hang, "call", nth)), "its rate is 0");
        assert!((0..1000).all(|nth| plan.clone().with_all(1.0).strikes(Fault::Hang, "call", nth)));
    }
}
