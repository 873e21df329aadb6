//! Transform jobs: each has model servers of its own, which answer the records of objects in S3.
//!
//! A job's objects are rows of the journal, and the answers of an unfinished object are files. A process that was killed leaves both,
//! and the next one goes on: an object's output appears in the transaction that says that the object is done.

mod bad;
mod batches;
mod filters;
mod inputs;
mod path;
mod progress;
mod split;
mod statuses;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::child;
use crate::error::{CloudError, chain};
use crate::journal::Journal;
use crate::logs::instance_id;
use crate::queue;
use crate::s3::{Attributes, ObjectStore, StoreError, split_prefix};
use crate::sagemaker::hosting::{Launch, LaunchError, Launcher, Pipeline, remove_model};
use crate::sagemaker::records::{
    self, BadRecords, JobStatus, Kind, ObjectStatus, Parameters, Record, TransformJob, TransformObject, TransformSpec,
};
use filters::Filters;
pub(crate) use path::Path;
use statuses::Earlier;
use work::{DataLog, Work, status_file};

/// The jobs that run at once. Further ones wait, as they do for a quota of instances.
const AT_ONCE: usize = 4;
/// How long a model server may take until it is healthy: as long as an endpoint's.
const STARTUP: Duration = Duration::from_secs(480);
/// The longest `FailureReason` of AWS, in characters.
const LONGEST_REASON: usize = 1024;
const GROUP: &str = "/aws/sagemaker/TransformJobs";

/// Why a job fails as a whole, in SageMaker's words.
struct Failure(String);

impl Failure {
    fn client(error: &dyn std::error::Error) -> Self {
        Self(format!("ClientError: {}", chain(error)))
    }

    fn algorithm(error: &dyn std::error::Error) -> Self {
        Self(format!("AlgorithmError: {}", chain(error)))
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        Self(format!("InternalServerError: {}", chain(error)))
    }
}

/// All transform jobs of this process.
pub(crate) struct Transform {
    launcher: Launcher,
    store: Arc<ObjectStore>,
    journal: Arc<Journal>,
    permits: Arc<Semaphore>,
    /// The running jobs by their names in lower case, each with the order to stop.
    running: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Transform {
    pub(crate) fn new(launcher: Launcher) -> Self {
        let (store, journal) = (Arc::clone(&launcher.store), Arc::clone(&launcher.journal));
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { launcher, store, journal, permits, running: Mutex::default(), tasks: Mutex::default() }
    }

    /// Runs a job, in the background.
    pub(crate) fn begin(self: &Arc<Self>, name: &str) {
        let (stop, stopped) = watch::channel(false);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase(), stop);
        let (this, name) = (Arc::clone(self), name.to_owned());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            this.run(&name, stopped).await;
            this.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&name.to_ascii_lowercase());
        });
    }

    /// Stops a job, whose status is `Stopping` already.
    pub(crate) fn stop(&self, name: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = running.get(&name.to_ascii_lowercase()) {
            stop.send_replace(true);
        }
    }

    /// Goes on with the jobs of the last process.
    pub(crate) fn resume(self: &Arc<Self>) -> Result<(), CloudError> {
        let all: Vec<Record<TransformJob>> = self
            .journal
            .read(|connection| records::all(connection, Kind::TransformJob))
            .map_err(|source| self.journal.unusable(source))?;
        for record in all {
            match record.value.status.is_final() {
                // A kill may have come between the end of the job and the removal of its files.
                true => remove_model(&self.folder(&record.value)),
                false => self.begin(&record.name),
            }
        }
        Ok(())
    }

    /// Breaks off all jobs. The next process goes on with them.
    pub(crate) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }

    fn folder(&self, job: &TransformJob) -> PathBuf {
        self.launcher.place.jobs.join("transform").join(job.id.to_string())
    }

    async fn run(&self, name: &str, mut stopped: watch::Receiver<bool>) {
        let Some(job) = self.read(name) else { return };
        let is_stopped = job.status == JobStatus::Stopping;
        let result = tokio::select! {
            // In this order, so that a job that is stopped before its turn never begins.
            biased;
            _ = stopped.wait_for(|stopped| *stopped || is_stopped) => None,
            result = self.work(name, &job) => Some(result),
        };
        if self.journal.is_stopping() {
            return;
        }
        let (status, reason) = match result {
            None => (JobStatus::Stopped, None),
            Some(Ok(None)) => (JobStatus::Completed, None),
            Some(Ok(Some(Failure(reason))) | Err(Failure(reason))) => (JobStatus::Failed, Some(reason)),
        };
        let reason = reason.map(|reason| reason.chars().take(LONGEST_REASON).collect::<String>());
        let detail = reason.as_deref().unwrap_or(status.as_str());
        let detail = format!("{name}: {detail}");
        match status {
            JobStatus::Failed => {
                let tail = child::log_tail(&self.launcher.place.logs.join("transform").join(format!("{name}.log")), 0);
                tracing::info!(target: "hop", service = "SageMaker", action = "Failed", detail, tail);
            }
            _ => tracing::info!(target: "hop", service = "SageMaker", action = "TransformJob", detail),
        }
        if let Err(error) = self.write_statuses(name, &job).await {
            tracing::error!(job = name, error = chain(&error), "the statuses of a job's records cannot be written");
        }
        self.change(name, |job, now| {
            job.status = status;
            job.failure_reason.clone_from(&reason);
            job.ended = Some(now);
        })
        .await;
        remove_model(&self.folder(&job));
    }

    /// Runs the job. The result is the reason if objects failed; the error is that of a job that cannot run.
    async fn work(&self, name: &str, job: &TransformJob) -> Result<Option<Failure>, Failure> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let spec = job.spec.clone();
        let mut objects = self.objects(name).map_err(|error| Failure::internal(&error))?;
        if objects.is_empty() {
            objects = inputs::list(&spec, &self.store).await.map_err(|error| Failure::client(&error))?;
            let write = self.journal.write(|transaction| records::insert_objects(transaction, name, &objects));
            write.map_err(|error| Failure::internal(&error))?;
        }
        self.change(name, |job, now| job.started = job.started.or(Some(now))).await;
        let folder = self.folder(job);
        tokio::fs::create_dir_all(&folder).await.map_err(|error| Failure::internal(&error))?;
        let stream = format!("{name}/{}-{}", instance_id(), self.journal.clock().now_millis() / 1000);
        let server = self.start(name, job, &stream).await?;
        let parameters = match job.parameters {
            Some(parameters) => parameters,
            None => {
                let mut parameters = Parameters::new(&spec, server.execution_parameters().await.as_ref());
                // Only a record that is a request of its own has a status of its own.
                parameters.multi_record &= spec.bad_records == BadRecords::Fail;
                self.change(name, |job, _| job.parameters = Some(parameters)).await;
                parameters
            }
        };
        let data_log = DataLog(self.launcher.place.streams.stream(GROUP, &format!("{stream}/data-log")));
        let strategy = if parameters.multi_record { "MULTI_RECORD" } else { "SINGLE_RECORD" };
        let (concurrent, payload) = (parameters.max_concurrent_transforms, parameters.max_payload_in_mb);
        data_log.write([format!(
            "MaxConcurrentTransforms={concurrent}, MaxPayloadInMB={payload}, BatchStrategy={strategy}"
        )]);
        let earlier = match spec.bad_records {
            BadRecords::Resume => Earlier::read(&spec, &self.store).await.map_err(|error| Failure::client(&error))?,
            BadRecords::Fail | BadRecords::Skip => Earlier::default(),
        };
        if spec.bad_records == BadRecords::Resume {
            data_log.write([format!("{} records have an answer of an earlier job", earlier.len())]);
        }
        let filters =
            spec.processing.as_ref().map(Filters::new).transpose().map_err(|error| Failure::client(&error))?;
        let most = usize::try_from(concurrent).unwrap_or(1);
        let bad_records = spec.bad_records;
        let work = Arc::new(Work {
            name: name.to_owned(),
            spec,
            parameters,
            filters: filters.map(Arc::new),
            earlier,
            server,
            patience: STARTUP,
            store: Arc::clone(&self.store),
            journal: Arc::clone(&self.journal),
            folder,
            data_log,
            permits: Arc::new(Semaphore::new(most)),
        });
        let left = objects.into_iter().filter(|object| object.status == ObjectStatus::Left);
        let transform = |object| Arc::clone(&work).transform(object);
        futures::stream::iter(left).for_each_concurrent(most, transform).await;
        work.server.stop().await;
        let objects = self.objects(name).map_err(|error| Failure::internal(&error))?;
        Ok(verdict(&objects, bad_records))
    }

    /// Starts the model servers of a job with their models' files.
    async fn start(&self, name: &str, job: &TransformJob, stream: &str) -> Result<Pipeline, Failure> {
        let mut environment: BTreeMap<String, String> = child::of_client(&job.spec.environment).collect();
        environment.extend(variables(&job.spec));
        let launch = Launch {
            name,
            of: format!("transform job {name}"),
            containers: &job.containers,
            environment: &environment,
            models: &self.folder(job).join("models"),
            startup_timeout: STARTUP,
            log: self.launcher.place.logs.join("transform").join(name),
            stream: (GROUP.to_owned(), stream.to_owned()),
        };
        self.launcher.start(&launch).await.map_err(|error| match &error {
            LaunchError::Image(_) => {
                Failure(format!("ClientError: Cannot pull algorithm container. {}", chain(&error)))
            }
            LaunchError::ModelData(_) => Failure::client(&error),
            LaunchError::Server { .. } => Failure::algorithm(&error),
        })
    }

    /// Writes the statuses of the records, if the job has them, from the files of its objects.
    async fn write_statuses(&self, name: &str, job: &TransformJob) -> Result<(), StoreError> {
        let folder = self.folder(job);
        if job.spec.bad_records == BadRecords::Fail {
            return Ok(());
        }
        let mut files = Vec::new();
        for object in self.objects(name)? {
            let file = status_file(&folder, object.number);
            if object.status != ObjectStatus::Left && file.exists() {
                files.push(file);
            }
        }
        // A job that was stopped before its first object leaves the statuses of an earlier one.
        if files.is_empty() {
            return Ok(());
        }
        let text = futures::stream::iter(files).map(|file| Ok::<_, std::io::Error>(progress::read(file))).try_flatten();
        let blob = self.store.receive(text).await?;
        let (bucket, _) = split_prefix(&job.spec.output);
        let attributes = Attributes {
            content_type: Some("application/jsonlines".to_owned()),
            metadata: statuses::metadata(&job.spec),
            ..Attributes::default()
        };
        self.store.commit(bucket, &statuses::key(&job.spec), blob, attributes, "PutObject", |_, _| Ok(()))?;
        Ok(())
    }

    fn objects(&self, name: &str) -> rusqlite::Result<Vec<TransformObject>> {
        self.journal.read(|connection| records::objects(connection, name))
    }

    fn read(&self, name: &str) -> Option<TransformJob> {
        match self.journal.read(|connection| records::get(connection, Kind::TransformJob, name)) {
            Ok(record) => record.map(|record| record.value),
            Err(error) => {
                tracing::error!(job = name, %error, "the transform job cannot be read");
                None
            }
        }
    }

    async fn change(&self, name: &str, change: impl Fn(&mut TransformJob, i64)) {
        queue::settle(&self.journal, |transaction| {
            let record = records::get::<TransformJob>(transaction, Kind::TransformJob, name)?;
            let Some(mut record) = record else { return Ok(()) };
            let now = self.journal.clock().now_millis();
            change(&mut record.value, now);
            records::update(transaction, Kind::TransformJob, name, now, &record.value)
        })
        .await;
    }
}

/// The variables of the contract. SageMaker sets the last three only if the request does.
fn variables(spec: &TransformSpec) -> BTreeMap<String, String> {
    let strategy = spec.multi_record.map(|multi| if multi { "MULTI_RECORD" } else { "SINGLE_RECORD" }.to_owned());
    let given = [
        ("SAGEMAKER_BATCH", Some("true".to_owned())),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", spec.max_payload_in_mb.map(|megabytes| megabytes.to_string())),
        ("SAGEMAKER_BATCH_STRATEGY", strategy),
        ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", spec.max_concurrent_transforms.map(|most| most.to_string())),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Why a job failed whose objects are all settled.
fn verdict(objects: &[TransformObject], bad_records: BadRecords) -> Option<Failure> {
    let failed = objects.iter().find_map(|object| match object.status {
        ObjectStatus::ClientError => Some("ClientError"),
        ObjectStatus::AlgorithmError => Some("AlgorithmError"),
        ObjectStatus::Left | ObjectStatus::Done => None,
    });
    if let Some(kind) = failed {
        return Some(Failure(format!("{kind}: See job logs for more information")));
    }
    let sum = |count: fn(&TransformObject) -> u64| objects.iter().map(count).sum::<u64>();
    let nothing = sum(|object| object.answered) == 0 && sum(|object| object.failed) > 0;
    (bad_records != BadRecords::Fail && nothing)
        .then(|| Failure("AlgorithmError: No record was answered. See job logs for more information".to_owned()))
}
