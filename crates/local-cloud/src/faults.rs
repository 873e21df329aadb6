//! Planned faults: messages that are duplicated, delayed or dropped, calls that fail, functions that die between two calls.

mod call;
mod lagging;
mod plan;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use serde_json::json;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::dynamodb::DynamoDb;
use crate::stack::Table;
use call::Call;
use lagging::Lagging;
pub use plan::{Fault, FaultPlan, FaultPlanError};

/// How long an index may lag behind its table.
const INDEX_LAG: Duration = Duration::from_secs(1);

/// The faults of a cloud: none without a plan.
#[derive(Clone, Default)]
pub(crate) struct Faults(Option<Arc<Planned>>);

struct Planned {
    plan: FaultPlan,
    clock: Clock,
    /// How many times each question was asked, by hash.
    asked: Mutex<HashMap<u64, u32>>,
    /// Execution environments by their session token.
    environments: Mutex<HashMap<String, Running>>,
    /// The tables as stale indexes show them.
    lagging: Lagging,
    /// The attribute that is each table's hash key.
    hash_keys: BTreeMap<String, String>,
    log: Mutex<File>,
}

/// An execution environment, and the fate of its current invocation.
struct Running {
    kill: Arc<Notify>,
    calls: u32,
    fate: Option<Fate>,
}

/// The planned end of an invocation.
#[derive(Clone, Copy)]
struct Fate {
    fault: Fault,
    /// The call that it ends at, counted from 0.
    call: u32,
    /// Whether it ends before the service carries out the call.
    before: bool,
}

/// An invocation may end at one of this number of first calls.
const CALLS: u32 = 6;

/// The kinds of messages to functions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    /// S3's event of an object.
    Event,
    /// SNS's message.
    Notice,
}

impl Faults {
    /// The faults of a plan. Every call and every fault becomes a line of JSON in `log`. `copy` is a copy of the tables.
    pub(crate) fn planned(
        plan: FaultPlan,
        clock: Clock,
        tables: &[Table],
        copy: DynamoDb,
        log: &Path,
    ) -> io::Result<Self> {
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let log = File::options().create(true).append(true).open(log)?;
        let hash_key = |table: &Table| {
            let keys = table.create["KeySchema"].as_array()?;
            let key = keys.iter().find(|key| key["KeyType"] == "HASH")?["AttributeName"].as_str()?;
            Some((table.create["TableName"].as_str()?.to_owned(), key.to_owned()))
        };
        Ok(Self(Some(Arc::new(Planned {
            plan,
            clock,
            asked: Mutex::default(),
            environments: Mutex::default(),
            lagging: Lagging::new(copy, INDEX_LAG),
            hash_keys: tables.iter().filter_map(hash_key).collect(),
            log: Mutex::new(log),
        }))))
    }

    /// Registers an execution environment, whose calls carry the token. The result is notified when the environment must die.
    pub(crate) fn begin(&self, token: &str) -> Arc<Notify> {
        let kill = Arc::new(Notify::new());
        if let Some(planned) = &self.0 {
            let running = Running { kill: Arc::clone(&kill), calls: 0, fate: None };
            lock(&planned.environments).insert(token.to_owned(), running);
        }
        kill
    }

    /// Registers an invocation of an execution environment.
    pub(crate) fn invoke(&self, token: &str) {
        if let Some(planned) = &self.0
            && let Some(running) = lock(&planned.environments).get_mut(token)
        {
            running.calls = 0;
        }
    }

    /// Forgets an execution environment, which has ended.
    pub(crate) fn end(&self, token: &str) {
        if let Some(planned) = &self.0 {
            lock(&planned.environments).remove(token);
        }
    }

    /// The delays of the copies of a message: one copy without a delay, unless the plan has a fault for it.
    pub(crate) fn deliveries(&self, delivery: Delivery, about: &str) -> Vec<Duration> {
        let Some(planned) = &self.0 else { return vec![Duration::ZERO] };
        let (duplicate, late_fault) = match delivery {
            Delivery::Event => (Fault::DuplicateEvent, Fault::DelayEvent),
            Delivery::Notice => (Fault::DuplicateNotice, Fault::DelayNotice),
        };
        let what = format!("{delivery:?} {about}");
        let nth = planned.nth(&what);
        if matches!(delivery, Delivery::Notice) && planned.plan.strikes(Fault::DropNotice, &what, nth) {
            planned.record(&what, None, Some(Fault::DropNotice), None);
            return Vec::new();
        }
        let copies = if planned.plan.strikes(duplicate, &what, nth) { 2 } else { 1 };
        let delay = |copy: u32| {
            let late = planned.plan.strikes(late_fault, &what, 2 * nth + copy);
            let share = planned.plan.share("how long", &what, 2 * nth + copy);
            if late { planned.plan.longest_delay.mul_f64(share) } else { Duration::ZERO }
        };
        let delays: Vec<Duration> = (0..copies).map(delay).collect();
        let late = delays.iter().any(|delay| !delay.is_zero());
        let fault = if copies == 2 { Some(duplicate) } else { late.then_some(late_fault) };
        planned.record(&what, None, fault, Some(&format!("after {delays:?}")));
        delays
    }

    /// Has a service answer a request, with the faults that the plan has for it.
    pub(crate) async fn around(
        &self,
        service: Option<&str>,
        request: Request,
        answer: impl AsyncFnOnce(Request) -> Response,
    ) -> Response {
        let Some(planned) = &self.0 else { return answer(request).await };
        let (call, request) = match Call::read(service, request, &planned.hash_keys).await {
            Ok((Some(call), request)) => (call, request),
            Ok((None, request)) => return answer(request).await,
            Err(refusal) => return refusal,
        };
        let (what, by) = (call.to_string(), call.environment.as_deref());
        let nth = planned.nth(&what);
        let strikes = |fault| planned.plan.strikes(fault, &what, nth);
        for fault in [Fault::Throttle, Fault::Fail] {
            if strikes(fault) {
                planned.record(&what, by, Some(fault), None);
                return if fault == Fault::Throttle { call.throttled() } else { call.failed() };
            }
        }
        // Only a function has a token.
        let dies = by.and_then(|token| planned.fate(token, &what, nth));
        if let Some((fate, kill)) = dies.as_ref().filter(|(fate, _)| fate.before) {
            planned.record(&what, by, Some(fate.fault), Some("before"));
            planned.end(*fate, kill).await;
        }
        let stale = call.index && strikes(Fault::StaleIndex) && planned.lagging.lags().await;
        let response = if stale {
            planned.record(&what, by, Some(Fault::StaleIndex), None);
            planned.lagging.query(request).await
        } else if call.writes {
            planned.lagging.write(request, answer).await
        } else {
            answer(request).await
        };
        let status = response.status().as_u16().to_string();
        if let Some((fate, kill)) = dies {
            planned.record(&what, by, Some(fate.fault), Some(&format!("after {status}")));
            planned.end(fate, &kill).await;
        }
        if strikes(Fault::LoseAnswer) {
            planned.record(&what, by, Some(Fault::LoseAnswer), Some(&status));
            return call.failed();
        }
        planned.record(&what, by, None, Some(&status));
        response
    }
}

impl Planned {
    /// How many times this was asked before.
    fn nth(&self, what: &str) -> u32 {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let mut asked = lock(&self.asked);
        let count = asked.entry(hasher.finish()).or_default();
        let nth = *count;
        *count += 1;
        nth
    }

    /// The fate of the invocation that makes a call, if the call is its last one.
    fn fate(&self, token: &str, what: &str, nth: u32) -> Option<(Fate, Arc<Notify>)> {
        let mut environments = lock(&self.environments);
        let running = environments.get_mut(token)?;
        if running.calls == 0 {
            let fault = [Fault::Kill, Fault::Hang].into_iter().find(|fault| self.plan.strikes(*fault, what, nth));
            let call = (f64::from(CALLS) * self.plan.share("which call", what, nth)) as u32;
            let before = self.plan.share("before", what, nth) < 0.5;
            running.fate = fault.map(|fault| Fate { fault, call, before });
        }
        let call = running.calls;
        running.calls += 1;
        running.fate.filter(|fate| fate.call == call).map(|fate| (fate, Arc::clone(&running.kill)))
    }

    /// Has a function die. Never returns.
    async fn end(&self, fate: Fate, kill: &Notify) {
        if fate.fault == Fault::Hang {
            tokio::time::sleep(self.plan.hang).await;
        }
        kill.notify_one();
        std::future::pending::<()>().await;
    }

    /// Adds a line to the log of calls and faults.
    fn record(&self, what: &str, by: Option<&str>, fault: Option<Fault>, outcome: Option<&str>) {
        let by = by.map(|token| &token[..token.len().min(8)]);
        let at = self.clock.now_millis();
        let line = json!({"at": at, "what": what, "by": by, "fault": fault.map(Fault::name), "outcome": outcome});
        if let Err(error) = lock(&self.log).write_all(format!("{line}\n").as_bytes()) {
            tracing::warn!(%error, "the log of faults cannot be written");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
