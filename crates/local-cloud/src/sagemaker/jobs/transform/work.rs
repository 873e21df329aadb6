//! The work of a job: its objects, whose records the model server answers.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use rusqlite::Transaction;
use tokio::sync::{Semaphore, mpsc};

use super::bad::Bad;
use super::batches::{Batch, Rules};
use super::filters::Filters;
use super::progress::Progress;
use super::statuses::{self, Earlier};
use crate::clock::now_rfc3339;
use crate::journal::Journal;
use crate::logs::LogStream;
use crate::queue;
use crate::s3::{Attributes, ObjectStore, StoreError, split_prefix};
use crate::sagemaker::hosting::{InvokeError, ModelRequest, Pipeline};
use crate::sagemaker::records::{self, BadRecords, ObjectStatus, Parameters, TransformObject, TransformSpec};

/// The pause before the first repetition of a request. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Work {
    pub(super) name: String,
    pub(super) spec: TransformSpec,
    pub(super) parameters: Parameters,
    pub(super) filters: Option<Arc<Filters>>,
    pub(super) earlier: Earlier,
    pub(super) server: Pipeline,
    /// How long a server that ended may take until it is healthy again.
    pub(super) patience: Duration,
    pub(super) store: Arc<ObjectStore>,
    pub(super) journal: Arc<Journal>,
    pub(super) folder: PathBuf,
    pub(super) data_log: DataLog,
    /// One for each request at once, in all objects.
    pub(super) permits: Arc<Semaphore>,
}

/// The stream of what happens to records.
#[derive(Clone)]
pub(super) struct DataLog(pub(super) LogStream);

impl DataLog {
    pub(super) fn write(&self, lines: impl IntoIterator<Item = String>) {
        let time = now_rfc3339();
        let time = time.trim_end_matches('Z');
        let lines = lines.into_iter().map(|line| format!("{time}:[sagemaker logs]: {line}"));
        if let Err(error) = self.0.append(lines) {
            tracing::warn!(%error, "lines of a data log are lost");
        }
    }
}

/// The file of an object's statuses in a job's folder.
pub(super) fn status_file(folder: &Path, number: i64) -> PathBuf {
    folder.join(format!("{number}.jsonl"))
}

impl Work {
    fn skips_bad_records(&self) -> bool {
        self.spec.bad_records != BadRecords::Fail
    }

    /// Answers the records of an object, and writes its output. It stays as it is if the process is stopping.
    pub(super) async fn transform(self: Arc<Self>, object: TransformObject) {
        let object = &object;
        let answered = async {
            let mut progress =
                Progress::open(&self.folder, object.number).await.map_err(|error| Bad::object(&error))?;
            match self.answer(object, &mut progress).await {
                Ok(()) => self.store(object, progress).await,
                Err(bad) => {
                    progress.remove().await;
                    Err(bad)
                }
            }
        };
        let Err(bad) = answered.await else { return };
        if self.journal.is_stopping() {
            return;
        }
        self.data_log.write(bad.lines(&format!("{}/{}", object.bucket, object.key)));
        if self.skips_bad_records() {
            let line = statuses::of_object(object, &bad.text());
            if let Err(error) = tokio::fs::write(status_file(&self.folder, object.number), line).await {
                tracing::warn!(job = self.name, %error, "the status of an object is lost");
            }
        }
        queue::settle(&self.journal, |transaction| {
            records::settle_object(transaction, &self.name, object.number, bad.status(), (0, 0))
        })
        .await;
    }

    /// Answers the records that have no answer yet.
    async fn answer(self: &Arc<Self>, object: &TransformObject, progress: &mut Progress) -> Result<(), Bad> {
        let (found, file) =
            self.store.open_file(&object.bucket, &object.key).await.map_err(|error| Bad::object(&error))?;
        if found.etag != object.etag {
            return Err(Bad::object(&StoreError::PreconditionFailed));
        }
        let (sender, receiver) = mpsc::channel(1);
        let rules = Rules::new(&self.spec, &self.parameters, self.filters.clone());
        let skip = progress.entries.len();
        // It ends when nobody receives any more.
        let reading = tokio::task::spawn_blocking(move || rules.send(file, skip, &sender));
        let permits = Arc::clone(&self.permits);
        let items = futures::stream::unfold((receiver, skip), move |(mut receiver, number)| {
            let permits = Arc::clone(&permits);
            async move {
                let item = receiver.recv().await?;
                // Each object has one request that waits for its turn, not as many as there are turns. The semaphore is never closed.
                let permit = permits.acquire_owned().await;
                Some(((number, item, permit), (receiver, number + 1)))
            }
        });
        let most = usize::try_from(self.parameters.max_concurrent_transforms).unwrap_or(1);
        let (work, owned) = (Arc::clone(self), object.clone());
        let answers = items.map(move |(number, item, permit)| {
            let (work, object) = (Arc::clone(&work), owned.clone());
            async move {
                let _permit = permit;
                match item {
                    Ok(batch) => (batch.records as u64, work.batch(&object, number as u64, batch).await),
                    Err(bad) => (1, Err(bad)),
                }
            }
        });
        let mut answers = pin!(answers.buffered(most));
        while let Some((records, answer)) = answers.next().await {
            let answer = match &answer {
                Ok(bytes) => Ok(bytes.as_ref()),
                Err(bad) if self.skips_bad_records() => {
                    self.data_log.write(bad.lines(&format!("{}/{}", object.bucket, object.key)));
                    Err(bad.text())
                }
                Err(bad) => return Err(bad.clone()),
            };
            progress.add(records, answer).await.map_err(|error| Bad::object(&error))?;
        }
        // A panic while reading must not look like the end of the object.
        reading.await.map_err(|error| Bad::object(&error))
    }

    /// The part of the output that a batch becomes.
    async fn batch(&self, object: &TransformObject, number: u64, batch: Batch) -> Result<Bytes, Bad> {
        if let Some(answer) = self.earlier.answer(&self.store, object, number).await {
            return Ok(answer);
        }
        let answer = self.invoke(Bytes::from(batch.payload)).await?;
        let answers = match &self.filters {
            None => vec![answer.to_vec()],
            Some(filters) => filters.outgoing(batch.records, &batch.originals, &answer)?,
        };
        let mut assembled = Vec::with_capacity(answer.len() + 1);
        for answer in answers {
            assembled.extend_from_slice(&answer);
            // Many models end their lines themselves.
            if self.spec.lines && !answer.ends_with(b"\n") {
                assembled.push(b'\n');
            }
        }
        Ok(assembled.into())
    }

    /// Has the model server answer. A request without an answer, or with one of a server error, is repeated.
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, Bad> {
        let request = ModelRequest {
            content_type: self.spec.content_type.clone(),
            accept: self.spec.accept.clone(),
            // A payload without a limit is sent in chunks.
            chunked: self.parameters.max_payload_in_mb == 0,
            ..ModelRequest::default()
        };
        let (mut pause, mut left) = (PAUSE, self.spec.max_retries);
        loop {
            let bad = match self.attempt(&request, payload.clone()).await {
                Ok((status, body)) if status.is_success() => return Ok(body),
                Ok((status, body)) if status.is_client_error() => return Err(Bad::answer(status, &body)),
                Ok((status, body)) => Bad::answer(status, &body),
                Err(error) => error.into(),
            };
            if left == 0 {
                return Err(bad);
            }
            left -= 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, request: &ModelRequest, payload: Bytes) -> Result<(StatusCode, Bytes), InvokeError> {
        if !self.server.healthy(self.patience).await {
            return Err(InvokeError::NotHealthy);
        }
        let timeout = Duration::from_secs(self.spec.timeout_seconds);
        let answer = self.server.invoke(request, payload, timeout).await?;
        Ok((answer.status, answer.collect().await?))
    }

    /// Makes the answers an object. The same transaction says that the object is done. Where no record has an answer, there is no
    /// output, since an empty one would look like an answer.
    async fn store(&self, object: &TransformObject, progress: Progress) -> Result<(), Bad> {
        let failed = |error: StoreError| Bad::object(&error);
        let (bucket, _) = split_prefix(&self.spec.output);
        let counts = progress.records();
        let settle = |transaction: &Transaction<'_>| {
            records::settle_object(transaction, &self.name, object.number, ObjectStatus::Done, counts)
        };
        if let (0, 1..) = counts {
            self.write_statuses(object, &statuses::of_records(object, bucket, "", &progress.entries)).await?;
            queue::settle(&self.journal, settle).await;
        } else {
            let blob = self.store.receive(progress.stream()).await.map_err(failed)?;
            if self.skips_bad_records() {
                let lines = statuses::of_records(object, bucket, &blob.etag, &progress.entries);
                self.write_statuses(object, &lines).await?;
            }
            let attributes = Attributes { content_type: self.spec.accept.clone(), ..Attributes::default() };
            let stored = self.store.commit(bucket, &object.output, blob, attributes, "PutObject", |transaction, _| {
                Ok(settle(transaction)?)
            });
            stored.map_err(failed)?;
        }
        progress.remove().await;
        Ok(())
    }

    async fn write_statuses(&self, object: &TransformObject, lines: &[u8]) -> Result<(), Bad> {
        let written = tokio::fs::write(status_file(&self.folder, object.number), lines).await;
        written.map_err(|error| Bad::object(&error))
    }
}
