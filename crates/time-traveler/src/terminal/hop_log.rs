//! A line on stderr for each hop: a request or event from one service to another.

use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use lambda::Tenancy;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, filter};

use crate::escape;
use crate::stack::unheeded;

/// The log filter without `RUST_LOG`. s3s logs each refused request as an error.
const DEFAULT_FILTER: &str = "warn,s3s=off,dynoxide=off";

/// The action of a hop that says why a job or an endpoint failed.
const FAILED: &str = "Failed";
/// The target of hops.
const HOP: &str = "hop";
/// The target of new objects.
const CREATED: &str = "created";

/// A tracing layer that prints hops with the time since its start, and uploads that start no job, and adds up the model's time.
#[derive(Clone, Debug, Default)]
pub(crate) struct HopLog {
    start: Arc<OnceLock<Instant>>,
    model_seconds: Arc<Mutex<f64>>,
    failures_only: bool,
    /// The hops, where they are kept and not printed.
    kept: Option<Arc<Mutex<Vec<Line>>>>,
    tenancy: Tenancy,
}

/// A hop that was kept.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Since the start.
    pub(crate) milliseconds: f64,
    pub(crate) service: String,
    pub(crate) action: String,
    pub(crate) detail: String,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { milliseconds, service, action, detail } = self;
        write!(formatter, "{milliseconds:>7.0} ms  {service:<12}{action:<20}{detail}")
    }
}

impl HopLog {
    /// A layer that keeps the hops for [`kept`](Self::kept), and prints none.
    pub(crate) fn keeping() -> Self {
        Self { kept: Some(Arc::default()), ..Self::default() }
    }

    /// The hops so far, where they are kept.
    pub(crate) fn kept(&self) -> Vec<Line> {
        let kept = self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner).clone());
        kept.unwrap_or_default()
    }

    /// A layer that prints why jobs and endpoints fail, with the last lines of their programs, and no other hop.
    pub(crate) fn of_failures() -> Self {
        Self { failures_only: true, ..Self::default() }
    }

    /// A layer for a pipeline of this tenancy, whose uploads have such keys.
    pub(crate) fn of_tenancy(tenancy: Tenancy) -> Self {
        Self { tenancy, ..Self::default() }
    }

    /// Shows hops from now on.
    pub(crate) fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Seconds spent in the model.
    pub(crate) fn model_seconds(&self) -> f64 {
        *self.model_seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn show(&self, service: &str, action: &str, detail: &str) {
        let Some(start) = self.start.get() else { return };
        // A client names keys and ids, and a line feed in them would forge a line.
        let [service, action, detail] = [service, action, detail].map(|text| escape::line(text).into_owned());
        let line = Line { milliseconds: start.elapsed().as_secs_f64() * 1000.0, service, action, detail };
        match &self.kept {
            Some(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(line),
            None => note!("{line}"),
        }
    }

    /// Subscribes to this process's logs and hops, and writes both to stderr.
    pub(crate) fn install(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| DEFAULT_FILTER.into());
        let ansi = std::io::stderr().is_terminal();
        let logs = tracing_subscriber::fmt::layer()
            .with_ansi(ansi)
            .with_writer(std::io::stderr)
            // The layer reports a closed stderr on stderr, and panics.
            .log_internal_errors(false)
            .with_filter(filter);
        let hops = self.clone().with_filter(filter::filter_fn(|metadata| [HOP, CREATED].contains(&metadata.target())));
        tracing_subscriber::registry().with(logs).with(hops).init();
    }
}

impl<S: Subscriber> Layer<S> for HopLog {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut hop = Hop::default();
        event.record(&mut hop);
        if let Some(seconds) = hop.model_seconds {
            *self.model_seconds.lock().unwrap_or_else(PoisonError::into_inner) += seconds;
        }
        if self.failures_only {
            if event.metadata().target() == HOP && hop.action == FAILED {
                let (name, reason) = hop.detail.split_once(": ").unwrap_or((&hop.detail, ""));
                note!("{} failed: {}", escape::line(name), escape::line(reason));
                hop.tail.lines().for_each(|line| note!("    {}", escape::line(line)));
            }
        } else if event.metadata().target() == HOP {
            self.show(&hop.service, &hop.action, &hop.detail);
        } else if let Some(reason) = unheeded::reason(self.tenancy, &hop.bucket, &hop.key) {
            self.show("S3", "starts no job", &reason);
        }
    }
}

#[derive(Default)]
struct Hop {
    service: String,
    action: String,
    detail: String,
    bucket: String,
    key: String,
    /// The last lines of a program that failed.
    tail: String,
    model_seconds: Option<f64>,
}

impl Visit for Hop {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "model_seconds" {
            self.model_seconds = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = match field.name() {
            "service" => &mut self.service,
            "action" => &mut self.action,
            "detail" => &mut self.detail,
            "bucket" => &mut self.bucket,
            "key" => &mut self.key,
            "tail" => &mut self.tail,
            _ => return,
        };
        // Writing to a string does not fail.
        let _ = write!(text, "{value:?}");
    }
}
