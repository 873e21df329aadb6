//! The model: S3, the table, a client, and the functions at work.
//!
//! `Jobs::update` is one step here: it reads and decides again until its write meets the record that it has read.

mod functions;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use pipeline::{Claim, Deadlines, Job, PortraitKey, Record, Sequencer, Status, Timestamp, Tombstone};

/// What a client does, one act after the other. It waits for each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Uploads this photograph.
    Put(u8),
    /// Sends `DELETE` until it is answered with another status than 409 and 500.
    Delete,
    /// Sends `DELETE`, and does not wait for the answer.
    Abandon,
}

/// How often something may happen in one history.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Limits {
    /// Deliveries of an event that was delivered before.
    pub(crate) duplicates: u8,
    /// Functions that stop half-way.
    pub(crate) crashes: u8,
    /// Moments at which every claim and every deletion runs out. No function runs for so long.
    pub(crate) ticks: u8,
    /// Answers of SageMaker. Without one, a job stays `PROCESSING`.
    pub(crate) answers: u8,
}

/// A step that is left out or done at the wrong time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    /// A complete deletion leaves no tombstone.
    NoTombstone,
    /// image-processor looks at the upload before it reads the record.
    LookBeforeRead,
    /// A `DELETE` writes the record before it removes the upload.
    MarkBeforeRemoval,
    /// A `DELETE` does not remove the upload of a running job.
    KeepUpload,
    /// New uploads do not wait for the deletion of images.
    NoWait,
    /// A `DELETE` that finds nothing writes nothing.
    NoMarkIfNothing,
    /// A tombstone does not name the newest event of the deleted record.
    NoSequencer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// After a deletion and before the next upload, there is a job.
    CameBack(Box<Job>),
    /// The last upload did not end as a success.
    NotDone(Option<Box<Record>>),
    /// A success lacks its images.
    NoImages,
    /// The record waits for something that never comes.
    Stuck(Box<Record>),
}

/// A step from one state to the next. The numbers are places in the lists of the state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The client's next act.
    Act,
    Event(usize),
    Duplicate(usize),
    /// SageMaker answers.
    Answer(usize),
    Function(usize),
    Crash(usize),
    Sweep,
    Time,
}

/// A `DELETE`'s answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Gone,
    Cancelled,
}

#[derive(Clone, Debug, Hash)]
struct Event {
    photo: u8,
    number: u8,
    request: u8,
}

/// A function at work, and its next step.
#[derive(Clone, Debug, Hash)]
enum Function {
    /// image-processor, on an upload's event.
    Started(Event, Start),
    /// image-processor, with a claimed job.
    Invoking(Option<Event>, Box<Job>, Invoke),
    /// image-processor, with SageMaker's answer.
    Splitting(Box<Job>, Split),
    /// job-tracker, on a `DELETE`; or the sweep, which continues one.
    Deleting { by_client: bool, removed: bool, step: Delete },
}

#[derive(Clone, Debug, Hash)]
enum Start {
    Read,
    Look(Option<Record>),
    Write(Option<Record>),
    /// For [`Mistake::LookBeforeRead`].
    LookFirst,
    ReadLast,
}

#[derive(Clone, Debug, Hash)]
enum Invoke {
    Copy,
    Send,
    Record,
    Fail,
}

#[derive(Clone, Debug, Hash)]
enum Split {
    Store,
    Record,
}

#[derive(Clone, Debug, Hash)]
enum Delete {
    Read,
    Look(Option<Record>),
    Remove(Option<Record>, u8),
    Write(Option<Record>),
    /// For [`Mistake::MarkBeforeRemoval`].
    RemoveLate(Record),
    Copies(Record),
    Complete(Record),
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct World {
    acts: Vec<Act>,
    done: usize,
    limits: Limits,
    mistake: Option<Mistake>,
    seconds: i64,
    /// The upload's photograph.
    object: Option<u8>,
    inputs: BTreeSet<String>,
    /// The revisions that have images.
    images: BTreeSet<String>,
    record: Option<Record>,
    /// Events to deliver.
    events: Vec<Event>,
    delivered: Vec<Event>,
    /// Jobs that SageMaker works on.
    invoked: Vec<Job>,
    functions: Vec<Function>,
    /// The answer of the last `DELETE`, until the next upload.
    answer: Option<Answer>,
    /// The client waits for time to pass, after a 409.
    waits: bool,
}

const DEADLINES: Deadlines = Deadlines {
    claim_seconds: 10,
    pending_seconds: 1_000_000,
    processing_seconds: 1_000_000,
    first_look_seconds: 500_000,
    deletion_seconds: 75,
};

fn id() -> PortraitKey {
    "ada".parse().unwrap()
}

fn etag(photo: u8) -> String {
    format!("e{photo}")
}

impl World {
    pub(crate) fn new(acts: &[Act], limits: Limits, mistake: Option<Mistake>) -> Self {
        Self {
            acts: acts.to_vec(),
            done: 0,
            limits,
            mistake,
            seconds: 0,
            object: None,
            inputs: BTreeSet::new(),
            images: BTreeSet::new(),
            record: None,
            events: Vec::new(),
            delivered: Vec::new(),
            invoked: Vec::new(),
            functions: Vec::new(),
            answer: None,
            waits: false,
        }
    }

    /// Equal for equal states, and for no others that a test will meet.
    pub(crate) fn fingerprint(&self) -> (u64, u64) {
        let mut hashers = [DefaultHasher::new(), DefaultHasher::new()];
        hashers[1].write_u8(1);
        let [one, two] = hashers.map(|mut hasher| {
            self.hash(&mut hasher);
            hasher.finish()
        });
        (one, two)
    }

    /// The violation in this state. `is_last`: no step follows.
    pub(crate) fn violation(&self, is_last: bool) -> Option<Violation> {
        let job = self.record.as_ref().and_then(Record::job);
        match (self.answer, job) {
            (Some(Answer::Gone), Some(job)) => return Some(Violation::CameBack(Box::new(job.clone()))),
            (Some(Answer::Cancelled), Some(job)) if job.status != Status::Cancelled => {
                return Some(Violation::CameBack(Box::new(job.clone())));
            }
            _ => {}
        }
        if let Some(job) = job.filter(|job| job.status == Status::Success && job.deleting_until.is_none())
            && !self.images.contains(job.revision.as_str())
        {
            return Some(Violation::NoImages);
        }
        if !is_last || self.done < self.acts.len() {
            return None;
        }
        let is_open = |job: &Job| job.status == Status::Pending || job.deleting_until.is_some();
        if let Some(job) = job.filter(|job| is_open(job)) {
            return Some(Violation::Stuck(Box::new(job.clone().into())));
        }
        // An abandoned deletion may take effect after the upload.
        let newest = match self.acts.last() {
            Some(Act::Put(photo)) if !self.acts.contains(&Act::Abandon) => *photo,
            _ => return None,
        };
        let is_done = job
            .is_some_and(|job| matches!(job.status, Status::Processing | Status::Success) && job.etag == etag(newest));
        (!is_done).then(|| Violation::NotDone(self.record.clone().map(Box::new)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.seconds * 1000)
    }

    /// Every step that may come next.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let by_client = |function: &Function| matches!(function, Function::Deleting { by_client: true, .. });
        if self.done < self.acts.len() && !self.waits && !self.functions.iter().any(by_client) {
            steps.push(Step::Act);
        }
        steps.extend((0..self.events.len()).map(Step::Event));
        if self.limits.duplicates > 0 {
            steps.extend((0..self.delivered.len()).map(Step::Duplicate));
        }
        if self.limits.answers > 0 {
            steps.extend((0..self.invoked.len()).map(Step::Answer));
        }
        steps.extend((0..self.functions.len()).map(Step::Function));
        if self.limits.crashes > 0 {
            steps.extend((0..self.functions.len()).map(Step::Crash));
        }
        if self.record.as_ref().is_some_and(|record| record.is_due(self.now(), &DEADLINES)) {
            steps.push(Step::Sweep);
        }
        // A deletion or a claim runs out. Functions have ended by then. Time always passes if nothing else can happen.
        if self.functions.is_empty() && (self.limits.ticks > 0 || steps.is_empty() && self.has_to_wait()) {
            steps.push(Step::Time);
        }
        steps
    }

    /// The state after a step.
    pub(crate) fn after(&self, step: Step) -> Self {
        let mut world = self.clone();
        match step {
            Step::Act => world.act(self.acts[self.done]),
            Step::Event(n) => {
                let event = world.events.remove(n);
                world.deliver(event);
            }
            Step::Duplicate(n) => {
                world.limits.duplicates -= 1;
                let event = world.delivered[n].clone();
                world.deliver(Event { request: event.request + 100, ..event });
            }
            Step::Answer(n) => {
                world.limits.answers -= 1;
                let job = world.invoked.remove(n);
                world.answered(job);
            }
            Step::Function(n) => {
                let function = world.functions.remove(n);
                if let Some(function) = world.step(function) {
                    world.functions.insert(n, function);
                }
            }
            Step::Crash(n) => {
                world.limits.crashes -= 1;
                let function = world.functions.remove(n);
                world.crash(function);
            }
            Step::Sweep => world.sweep(),
            Step::Time => {
                world.limits.ticks = world.limits.ticks.saturating_sub(1);
                world.seconds += 1000;
                world.waits = false;
            }
        }
        world
    }

    /// A step from this state, in words.
    pub(crate) fn describe(&self, step: Step) -> String {
        match step {
            Step::Act => format!("the client: {:?}", self.acts[self.done]),
            Step::Event(n) => format!("{:?} arrives", self.events[n]),
            Step::Duplicate(n) => format!("{:?} arrives again", self.delivered[n]),
            Step::Function(n) => format!("{:?}", self.functions[n]),
            Step::Crash(n) => format!("a crash before {:?}", self.functions[n]),
            Step::Answer(_) | Step::Sweep | Step::Time => format!("{step:?}"),
        }
    }

    /// SageMaker's notice. Without its input, SageMaker answers with a failure.
    fn answered(&mut self, job: Job) {
        let waits = self.record.as_ref().and_then(Record::job);
        if waits.is_some_and(|now| now.input == job.input && !now.status.is_final()) {
            let has_input = self.inputs.contains(&job.input);
            let job = Box::new(job);
            self.functions.push(match has_input {
                true => Function::Splitting(job, Split::Store),
                false => Function::Invoking(None, job, Invoke::Fail),
            });
        }
    }

    /// Whether something is left that only time brings.
    fn has_to_wait(&self) -> bool {
        self.waits
            || self
                .record
                .as_ref()
                .is_some_and(|record| record.deleting_until().is_some() || record.status() == Status::Pending)
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Put(photo) => {
                self.object = Some(photo);
                let number = u8::try_from(self.done).unwrap() + 1;
                self.events.push(Event { photo, number, request: number });
                self.answer = None;
                self.done += 1;
            }
            Act::Delete => {
                self.functions.push(Function::Deleting { by_client: true, removed: false, step: Delete::Read });
            }
            Act::Abandon => {
                self.functions.push(Function::Deleting { by_client: false, removed: false, step: Delete::Read });
                self.answer = None;
                self.done += 1;
            }
        }
    }

    fn deliver(&mut self, event: Event) {
        if !self.delivered.iter().any(|known| known.number == event.number) {
            self.delivered.push(event.clone());
        }
        let first = if self.mistake == Some(Mistake::LookBeforeRead) { Start::LookFirst } else { Start::Read };
        self.functions.push(Function::Started(event, first));
    }

    /// Lambda repeats the event of a function that crashed, as the same request. A client repeats its `DELETE`.
    fn crash(&mut self, function: Function) {
        match function {
            Function::Started(event, _) | Function::Invoking(Some(event), ..) => self.events.push(event),
            Function::Splitting(job, _) => self.invoked.push(*job),
            Function::Invoking(None, ..) | Function::Deleting { .. } => {}
        }
    }

    fn sweep(&mut self) {
        let Some(record) = self.record.clone() else { return };
        let now = self.now();
        match &record {
            Record::Job(job) if job.status == Status::Pending => {
                let claim = Claim { by: "sweep".to_owned(), now };
                if let Some(claimed) = job.reclaim(&claim, &DEADLINES) {
                    self.record = Some(claimed.clone().into());
                    self.functions.push(Function::Invoking(None, Box::new(claimed), Invoke::Copy));
                }
            }
            Record::Job(job) if job.status == Status::Processing => {}
            Record::Job(_) | Record::Tombstone(_) => {
                if let Some(record) = record.withdrawn(now, &DEADLINES) {
                    self.record = Some(record.clone());
                    let step = Delete::Copies(record);
                    self.functions.push(Function::Deleting { by_client: false, removed: true, step });
                }
            }
        }
    }

    /// Writes a record if the table's is still `current`, by the attributes of the real condition.
    fn put(&mut self, record: Record, current: Option<&Record>) -> bool {
        let key = |record: &Record| match record.stored() {
            Some(job) => format!("{:?}", (job.sequencer, job.revision, job.status, job.due_at)),
            None => format!("{record:?}"),
        };
        let unchanged = self.record.as_ref().map(key) == current.map(key);
        if unchanged {
            let is_complete = matches!(&record, Record::Tombstone(tombstone) if tombstone.is_complete());
            let forget = is_complete && self.mistake == Some(Mistake::NoTombstone);
            let record = match record {
                Record::Tombstone(tombstone) if self.mistake == Some(Mistake::NoSequencer) => {
                    Tombstone { sequencer: Sequencer::new(""), ..tombstone }.into()
                }
                record => record,
            };
            self.record = (!forget).then_some(record);
        }
        unchanged
    }
}
