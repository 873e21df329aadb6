//! The steps of the functions at work, one request to S3, the table or SageMaker each.

use pipeline::{
    Ages, Claim, Deleted, ErrorCode, ImageType, Job, JobError, Record, Revision, Sequencer, Tombstone, Upload, Uploaded,
};

use super::{Answer, DEADLINES, Delete, Event, Function, Invoke, Mistake, Split, Start, World, etag, id};

impl World {
    /// Does the next step of a function. Returns the function unless it has ended.
    pub(super) fn step(&mut self, function: Function) -> Option<Function> {
        match function {
            Function::Started(event, step) => self.start(event, step),
            Function::Invoking(event, job, step) => self.invoke(event, job, step),
            Function::Splitting(job, step) => self.split(job, step),
            Function::Deleting { by_client, removed, step } => self.delete(by_client, removed, step),
        }
    }

    fn start(&mut self, event: Event, step: Start) -> Option<Function> {
        let is_there = self.object == Some(event.photo);
        match step {
            Start::Read => Some(Function::Started(event, Start::Look(self.record.clone()))),
            Start::Look(current) => is_there.then_some(Function::Started(event, Start::Write(current))),
            Start::LookFirst => is_there.then_some(Function::Started(event, Start::ReadLast)),
            Start::ReadLast => Some(Function::Started(event, Start::Write(self.record.clone()))),
            Start::Write(current) => {
                let ages = Ages::default();
                let upload = Upload {
                    id: id(),
                    sequencer: Sequencer::new(&format!("{:02}", event.number)),
                    etag: etag(event.photo),
                    revision: Revision::new(&etag(event.photo), &ages.to_string()),
                    ages: Some(ages),
                    accepted: Ok(ImageType::Png),
                    request: None,
                };
                let claim = Claim { by: format!("request {}", event.request), now: self.now() };
                let mut decision = upload.decide(current.as_ref(), &claim, &DEADLINES);
                if self.mistake == Some(Mistake::NoWait)
                    && let Uploaded::Later(_) = decision
                {
                    decision = upload.decide(None, &claim, &DEADLINES);
                }
                let job = decision.job()?.clone();
                if !self.put(job.clone().into(), current.as_ref()) {
                    let again =
                        if self.mistake == Some(Mistake::LookBeforeRead) { Start::ReadLast } else { Start::Read };
                    return Some(Function::Started(event, again));
                }
                matches!(decision, Uploaded::Invoke(_))
                    .then(|| Function::Invoking(Some(event), Box::new(job), Invoke::Copy))
            }
        }
    }

    fn invoke(&mut self, event: Option<Event>, job: Box<Job>, step: Invoke) -> Option<Function> {
        match step {
            Invoke::Copy => {
                if self.object.is_some_and(|photo| etag(photo) == job.etag) {
                    self.inputs.insert(job.input.clone());
                } else if !self.inputs.contains(&job.input) {
                    // A newer upload's own event starts its job.
                    return self.object.is_none().then_some(Function::Invoking(event, job, Invoke::Fail));
                }
                Some(Function::Invoking(event, job, Invoke::Send))
            }
            Invoke::Send => {
                self.invoked.push((*job).clone());
                Some(Function::Invoking(event, job, Invoke::Record))
            }
            Invoke::Record => {
                let same = self.record.as_ref().and_then(Record::job).filter(|now| now.input == job.input);
                self.record = Some(same?.processing(None, None, self.now(), &DEADLINES)?.into());
                None
            }
            Invoke::Fail => {
                let same = self.record.as_ref().and_then(Record::job).filter(|now| now.input == job.input);
                let error = JobError::new(ErrorCode::CorruptImage, "the photograph was removed");
                self.record = Some(same?.failed(error, self.now())?.into());
                None
            }
        }
    }

    fn split(&mut self, job: Box<Job>, step: Split) -> Option<Function> {
        match step {
            Split::Store => {
                self.images.insert(job.revision.as_str().to_owned());
                Some(Function::Splitting(job, Split::Record))
            }
            Split::Record => {
                let same = self.record.as_ref().and_then(Record::job).filter(|now| now.input == job.input);
                self.record = Some(same?.success(None, "jpg", self.now())?.into());
                None
            }
        }
    }

    fn delete(&mut self, by_client: bool, removed: bool, step: Delete) -> Option<Function> {
        let go = |removed: bool, step: Delete| Some(Function::Deleting { by_client, removed, step });
        match step {
            Delete::Read => {
                let current = self.record.clone();
                if current.as_ref().is_some_and(|record| record.is_being_deleted(self.now(), &DEADLINES)) {
                    self.waits |= by_client;
                    return None;
                }
                if self.mistake == Some(Mistake::MarkBeforeRemoval) {
                    return go(self.object.is_some(), Delete::Write(current));
                }
                go(removed, Delete::Look(current))
            }
            Delete::Look(current) => {
                let is_running = current.as_ref().is_some_and(|record| !record.status().is_final());
                match self.object.filter(|_| self.mistake != Some(Mistake::KeepUpload) || !is_running) {
                    Some(photo) => go(removed, Delete::Remove(current, photo)),
                    None => go(removed, Delete::Write(current)),
                }
            }
            Delete::Remove(current, photo) => {
                self.object = self.object.filter(|there| *there != photo);
                go(true, Delete::Write(current))
            }
            Delete::Write(current) => self.mark(by_client, removed, current),
            Delete::RemoveLate(marked) => {
                self.object = None;
                match &marked {
                    Record::Job(job) if job.deleting_until.is_none() => self.answer(by_client, Answer::Cancelled),
                    Record::Tombstone(tombstone) if tombstone.is_complete() => self.answer(by_client, Answer::Gone),
                    _ => go(removed, Delete::Copies(marked)),
                }
            }
            Delete::Copies(marked) => {
                self.images.clear();
                self.inputs.clear();
                go(removed, Delete::Complete(marked))
            }
            Delete::Complete(marked) => {
                let current = self.record.clone();
                let next = match &current {
                    Some(current) if *current == marked => {
                        Some(Record::from(Tombstone::complete(marked.id(), Some(current), self.now())))
                    }
                    Some(Record::Job(job)) => {
                        marked.deleting_until().and_then(|until| job.released(until, self.now())).map(Record::from)
                    }
                    _ => None,
                };
                if let Some(next) = next {
                    assert!(self.put(next, current.as_ref()), "nothing comes between");
                }
                self.answer(by_client, Answer::Gone)
            }
        }
    }

    /// Writes what a `DELETE` makes of the record.
    fn mark(&mut self, by_client: bool, removed: bool, current: Option<Record>) -> Option<Function> {
        let go = |step: Delete| Some(Function::Deleting { by_client, removed, step });
        let has_copies = !self.inputs.is_empty() || !self.images.is_empty();
        let marked = match Deleted::decide(&id(), current.as_ref(), has_copies, self.now(), &DEADLINES) {
            Deleted::Busy => {
                self.waits |= by_client;
                return None;
            }
            Deleted::Cancelled(job) => Record::Job(job),
            Deleted::Begun(record) => record,
            Deleted::Complete(_) if !removed && self.mistake == Some(Mistake::NoMarkIfNothing) => {
                return self.answer(by_client, Answer::Gone);
            }
            Deleted::Complete(tombstone) => tombstone.into(),
        };
        if !self.put(marked.clone(), current.as_ref()) {
            return go(Delete::Read);
        }
        if self.mistake == Some(Mistake::MarkBeforeRemoval) {
            return go(Delete::RemoveLate(marked));
        }
        match &marked {
            Record::Job(job) if job.deleting_until.is_none() => self.answer(by_client, Answer::Cancelled),
            Record::Tombstone(tombstone) if tombstone.is_complete() => self.answer(by_client, Answer::Gone),
            _ => go(Delete::Copies(marked)),
        }
    }

    fn answer(&mut self, by_client: bool, answer: Answer) -> Option<Function> {
        if by_client {
            self.answer = Some(answer);
            self.done += 1;
        }
        None
    }
}
