//! Training jobs: each runs one program, with SageMaker's contract for a training container (*How Amazon SageMaker Runs Your Training
//! Image*, SageMaker Developer Guide).

mod artifacts;
mod channels;
mod checkpoints;
mod folder;
mod metrics;
mod program;
mod run;
mod stoppable;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::child;
use crate::error::CloudError;
use crate::events::Events;
use crate::journal::Journal;
use crate::queue;
use crate::s3::{ListQuery, ObjectStore, StoreError, split_prefix};
use crate::sagemaker::hosting::Place;
use crate::sagemaker::records::{self, JobStatus, Kind, Record, TrainingJob};
use crate::stack::Image;
use run::Run;

/// The most jobs that run at once. The others wait in their first status.
const AT_ONCE: usize = 4;
/// The variable by which the processes of a run are found, even those whose parent has ended.
const MARK: &str = "LOCAL_CLOUD_RUN";

/// All training jobs of this process.
pub(crate) struct Training {
    images: Vec<Image>,
    place: Place,
    store: Arc<ObjectStore>,
    journal: Arc<Journal>,
    events: Events,
    permits: Arc<Semaphore>,
    /// Whether each unfinished job is to be stopped, by its name in lower case.
    stops: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    running: Mutex<JoinSet<()>>,
}

impl Training {
    pub(crate) fn new(
        images: Vec<Image>,
        place: Place,
        store: Arc<ObjectStore>,
        journal: Arc<Journal>,
        events: Events,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { images, place, store, journal, events, permits, stops: Mutex::default(), running: Mutex::default() }
    }

    /// Runs a job, in the background.
    pub(crate) fn begin(self: &Arc<Self>, name: &str) {
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase(), stop);
        let (training, name) = (Arc::clone(self), name.to_owned());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            Run::new(&training, &name, stopped).until_ended().await;
            training.stops.lock().unwrap_or_else(PoisonError::into_inner).remove(&name.to_ascii_lowercase());
        });
    }

    /// Has a job end soon. Its record says already that it is to be stopped.
    pub(crate) fn stop(&self, name: &str) {
        let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = stops.get(&name.to_ascii_lowercase()) {
            stop.send_replace(true);
        }
    }

    /// Resumes the jobs of the last process. What is left of their programs is killed first, so that none runs twice.
    pub(crate) fn resume(self: &Arc<Self>) -> Result<(), CloudError> {
        let all: Vec<Record<TrainingJob>> = self
            .journal
            .read(|connection| records::all(connection, Kind::TrainingJob))
            .map_err(|source| self.journal.unusable(source))?;
        let unfinished: Vec<_> = all.into_iter().filter(|record| !record.value.status.is_final()).collect();
        for record in &unfinished {
            child::kill_marked(MARK, &record.value.id.to_string());
        }
        let kept = unfinished
            .iter()
            .filter(|record| record.value.ending.is_some() || record.value.status == JobStatus::Stopping);
        let kept: BTreeSet<String> = kept.map(|record| record.value.id.to_string()).collect();
        let folder = self.folder();
        collect_garbage(&folder, &kept).map_err(|source| CloudError::DataFolder { path: folder, source })?;
        for record in unfinished {
            self.begin(&record.name);
            if record.value.status == JobStatus::Stopping {
                self.stop(&record.name);
            }
        }
        Ok(())
    }

    /// Breaks off every job. The next start resumes them.
    pub(crate) async fn end(&self) {
        let mut running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.shutdown().await;
    }

    /// Whether there is an object under the prefix of this location.
    pub(crate) fn has_objects(&self, uri: &str) -> Result<bool, StoreError> {
        let (bucket, prefix) = split_prefix(uri);
        match self.store.list(bucket, &ListQuery { prefix, max_keys: 1, ..ListQuery::default() }) {
            Ok(listing) => Ok(!listing.objects.is_empty()),
            Err(StoreError::NoSuchBucket(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The folder of all runs.
    fn folder(&self) -> PathBuf {
        self.place.jobs.join("training")
    }

    fn read(&self, name: &str) -> Option<TrainingJob> {
        match self.journal.read(|connection| records::get(connection, Kind::TrainingJob, name)) {
            Ok(record) => record.map(|record| record.value),
            Err(error) => {
                tracing::error!(job = name, %error, "the training job cannot be read");
                None
            }
        }
    }

    /// Changes the record of a job, and publishes an event if its status changed.
    async fn change(&self, name: &str, change: impl Fn(&mut TrainingJob, i64)) {
        queue::settle(&self.journal, |transaction| {
            let Some(mut record) = records::get::<TrainingJob>(transaction, Kind::TrainingJob, name)? else {
                return Ok(());
            };
            let before = (record.value.status, record.value.secondary());
            let now = self.journal.clock().now_millis();
            change(&mut record.value, now);
            records::update(transaction, Kind::TrainingJob, name, now, &record.value)?;
            if before != (record.value.status, record.value.secondary()) {
                let (kind, arn) = ("SageMaker Training Job State Change", Kind::TrainingJob.arn(name));
                self.events.publish(transaction, "aws.sagemaker", kind, &arn, &record.value.described(name))?;
            }
            Ok(())
        })
        .await;
    }
}

/// Deletes the folders of runs that nothing uses.
fn collect_garbage(folder: &std::path::Path, kept: &BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !kept.contains(name)) {
            folder::remove(&entry.path());
        }
    }
    Ok(())
}
