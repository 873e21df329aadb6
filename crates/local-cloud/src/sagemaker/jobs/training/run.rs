//! One job from its first status to its last.

use std::time::Duration;

use tokio::sync::watch;

use super::Training;
use super::artifacts::{self, UploadError};
use super::channels::{self, DownloadError};
use super::checkpoints::Checkpoints;
use super::folder::RunFolder;
use super::metrics::Metrics;
use super::program::{Ended, Happened, Output, Running};
use crate::child;
use crate::error::chain;
use crate::s3::StoreError;
use crate::sagemaker::images;
use crate::sagemaker::records::{Ending, JobStatus, Secondary, TrainingJob, TrainingSpec};
use crate::stack::Program;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(120);
/// How often the values of metrics are stored.
const STORE_METRICS: Duration = Duration::from_secs(1);
/// The pauses before the next attempts to store outputs.
const UPLOAD_PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
/// The longest `FailureReason` of AWS, in characters.
const LONGEST_REASON: usize = 1024;

/// How a job ends, or the reason of its failure.
type End = Result<Ending, String>;

pub(super) struct Run<'a> {
    training: &'a Training,
    name: &'a str,
    stop: watch::Receiver<bool>,
}

impl<'a> Run<'a> {
    pub(super) fn new(training: &'a Training, name: &'a str, stop: watch::Receiver<bool>) -> Self {
        Self { training, name, stop }
    }

    /// Runs the job to its end, and stores its last status.
    pub(super) async fn until_ended(mut self) {
        // A job that is to be stopped does not wait for its turn.
        let permit = tokio::select! {
            permit = self.training.permits.acquire() => permit.ok(),
            () = stopped(self.stop.clone()) => None,
        };
        let Some(job) = self.training.read(self.name) else { return };
        let path = self.training.folder().join(job.id.to_string());
        let folder = RunFolder::new(path, &job.spec, &self.training.place).await;
        let end = self.end(&job, &folder).await;
        drop(permit);
        if self.training.journal.is_stopping() {
            return;
        }
        self.training.change(self.name, |job, now| job.end(end.clone(), now)).await;
        folder.remove();
        match end {
            Ok(ending) => {
                let detail = format!("{}: {ending:?}", self.name);
                tracing::info!(target: "hop", service = "SageMaker", action = "TrainingJob", detail);
            }
            Err(reason) => {
                let detail = format!("{}: {reason}", self.name);
                let tail = Output::last_lines(&self.training.place, self.name);
                tracing::info!(target: "hop", service = "SageMaker", action = "Failed", detail, tail);
            }
        }
    }

    async fn end(&mut self, job: &TrainingJob, folder: &RunFolder) -> End {
        // The program of an earlier process had ended: only its outputs are missing.
        let ending = match job.ending {
            Some(ending) => ending,
            // It was to be stopped when the earlier process ended. What it has written is kept.
            None if job.status == JobStatus::Stopping && folder.ml().is_dir() => Ending::Stopped,
            None => {
                if job.secondary() != Secondary::Starting {
                    self.advance(Secondary::Interrupted).await;
                    self.advance(Secondary::Starting).await;
                }
                match self.run(job, folder).await? {
                    // It was stopped before its program began, so there is nothing to store.
                    None => return Ok(Ending::Stopped),
                    Some(ending) => ending,
                }
            }
        };
        if self.training.journal.is_stopping() {
            return Ok(ending);
        }
        self.training
            .change(self.name, |job, now| {
                job.ending = Some(ending);
                job.advance(Secondary::Uploading, now);
            })
            .await;
        let mut pauses = UPLOAD_PAUSES.iter();
        while let Err(error) = self.store_outputs(&job.spec, folder).await {
            if self.training.journal.is_stopping() {
                return Ok(ending);
            }
            // A missing bucket stays missing. What the machine refuses now, it may do later.
            let is_lasting = matches!(&error, UploadError::Write { source: StoreError::NoSuchBucket(_), .. });
            match pauses.next().filter(|_| !is_lasting) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(bounded(&format!("ClientError: Artifact upload failed: {}", chain(&error)))),
            }
        }
        Ok(ending)
    }

    /// Prepares the folder and runs the program. `None`: the job was stopped before.
    async fn run(&mut self, job: &TrainingJob, folder: &RunFolder) -> Result<Option<Ending>, String> {
        let spec = &job.spec;
        if *self.stop.borrow() {
            return Ok(None);
        }
        self.training.change(self.name, |job, _| job.say("Preparing the instances for training")).await;
        let image = images::find_trainer(&self.training.images, &spec.image)
            .map_err(|error| format!("ClientError: Cannot pull algorithm container. {error}"))?;
        if folder.view().is_none() && spec.channels.iter().any(|channel| channel.name == "sm_drivers") {
            return Err(format!(
                "ClientError: this job's scripts name /opt/ml, and this system gives a process no folder of its own there. On Linux, \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0` allows it. {}",
                folder.says()
            ));
        }
        let program = program(&image.program, spec, folder, self.name, job);
        self.training
            .change(self.name, |job, now| {
                job.advance(Secondary::Downloading, now);
                job.started = job.started.or(Some(now));
            })
            .await;
        let started = self.training.journal.clock().now_millis();
        let output = Output::of_job(&self.training.place, self.name, started);
        output.append(&folder.says());
        let prepared = tokio::select! {
            prepared = self.download(spec, folder) => prepared,
            () = stopped(self.stop.clone()) => return Ok(None),
        };
        let checkpoints =
            prepared.map_err(|error| bounded(&format!("ClientError: Data download failed: {}", chain(&error))))?;
        self.advance(Secondary::Training).await;
        let (ended, has_ended) = watch::channel(false);
        let follow = async {
            match checkpoints {
                Some(checkpoints) => checkpoints.follow(has_ended).await,
                None => Ok(()),
            }
        };
        let work = async {
            let result = self.work(&program, folder, &output, spec, job).await;
            ended.send_replace(true);
            result
        };
        let (result, followed) = tokio::join!(work, follow);
        if let Err(error) = followed {
            tracing::error!(job = self.name, error = chain(&error), "the last checkpoint cannot be stored");
        }
        result.map(Some)
    }

    /// Fills the folder. Returns the checkpoints, which the program finds restored.
    async fn download(
        &self,
        spec: &TrainingSpec,
        folder: &RunFolder,
    ) -> Result<Option<Checkpoints<'a>>, DownloadError> {
        folder.create(spec).map_err(|source| DownloadError::File { path: folder.ml(), source })?;
        let journal = &self.training.journal;
        for channel in &spec.channels {
            channels::download(channel, &folder.channel(&channel.name), &self.training.store, journal).await?;
        }
        match &spec.checkpoints {
            None => Ok(None),
            Some(checkpoints) => {
                let path = folder.ml().join(&checkpoints.folder);
                Checkpoints::restore(&self.training.store, journal, path, &checkpoints.uri).await.map(Some)
            }
        }
    }

    /// Runs the program until it ends, is to be stopped, or takes too long.
    async fn work(
        &self,
        program: &Program,
        folder: &RunFolder,
        output: &Output,
        spec: &TrainingSpec,
        job: &TrainingJob,
    ) -> Result<Ending, String> {
        let clock = self.training.journal.clock();
        let place = &self.training.place;
        let variables = place.variables().collect::<Vec<_>>();
        let mut running = match Running::start(&place.spawner, program, variables, folder.view()).await {
            Ok(running) => running,
            Err(error) => {
                output.append(&format!("[local cloud] {}: {error}", program.path.display()));
                return Err(self.failure(&Ended::not_started(&error), folder));
            }
        };
        let mut metrics = Metrics::new(&spec.metrics);
        let mut asked: Option<Ending> = None;
        let mut deadline = clock.now_millis() + millis(spec.max_runtime());
        let mut store = tokio::time::interval(STORE_METRICS);
        let ended = loop {
            tokio::select! {
                happened = running.next() => match happened {
                    Happened::Line(line) => {
                        metrics.read(&line, clock.now_millis());
                        output.append(&line);
                    }
                    Happened::Ended(ended) => break ended,
                },
                () = stopped(self.stop.clone()), if asked.is_none() => {
                    asked = Some(Ending::Stopped);
                    deadline = clock.now_millis() + millis(GRACE);
                    running.terminate();
                }
                () = clock.sleep_until(deadline) => match asked {
                    None => {
                        asked = Some(Ending::MaxRuntimeExceeded);
                        self.advance(Secondary::Stopping).await;
                        deadline = clock.now_millis() + millis(GRACE);
                        running.terminate();
                    }
                    Some(_) => {
                        running.kill();
                        deadline = i64::MAX / 2;
                    }
                },
                _ = store.tick(), if metrics.changed => self.store_metrics(&mut metrics).await,
            }
        };
        for line in running.last_lines(&job.id.to_string()).await {
            metrics.read(&line, clock.now_millis());
            output.append(&line);
        }
        if metrics.changed {
            self.store_metrics(&mut metrics).await;
        }
        let ended = ended.map_err(|error| format!("InternalServerError: the program cannot be waited for: {error}"))?;
        match (asked, ended) {
            (Some(ending), _) => Ok(ending),
            (None, Ended(0)) => Ok(Ending::Completed),
            (None, ended) => Err(self.failure(&ended, folder)),
        }
    }

    /// The reason of a failure: what the program wrote of it, and its exit code.
    fn failure(&self, ended: &Ended, folder: &RunFolder) -> String {
        let Ended(code) = ended;
        let (head, tail) = ("AlgorithmError: ", format!(", exit code: {code}"));
        let room = LONGEST_REASON - head.len() - tail.len();
        format!("{head}{}{tail}", folder.failure().chars().take(room).collect::<String>())
    }

    async fn store_metrics(&self, metrics: &mut Metrics) {
        let values = metrics.values.clone();
        self.training.change(self.name, |job, _| job.metrics.clone_from(&values)).await;
        metrics.changed = false;
    }

    /// Stores the model and the output data.
    async fn store_outputs(&self, spec: &TrainingSpec, folder: &RunFolder) -> Result<(), UploadError> {
        let (store, journal) = (&self.training.store, &self.training.journal);
        let model = folder.ml().join("model");
        let location = spec.model(self.name);
        let mut left_out = if spec.is_archive {
            artifacts::upload_archive(store, journal, &model, &location).await?
        } else {
            artifacts::upload_files(store, &model, &location).await?
        };
        let data = folder.ml().join("output/data");
        let has_data = std::fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_some());
        if has_data && spec.is_archive {
            let location = format!("{}/output.tar.gz", spec.output(self.name));
            left_out.extend(artifacts::upload_archive(store, journal, &data, &location).await?);
        } else if has_data {
            let location = format!("{}/data/", spec.output(self.name));
            left_out.extend(artifacts::upload_files(store, &data, &location).await?);
        }
        if !left_out.is_empty() {
            tracing::warn!(job = self.name, ?left_out, "neither files nor folders: they are not stored");
        }
        Ok(())
    }

    async fn advance(&self, to: Secondary) {
        self.training.change(self.name, |job, now| job.advance(to, now)).await;
    }
}

/// Waits until the job is to be stopped.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can stop it any more.
        std::future::pending::<()>().await;
    }
}

/// The image's program, or the one that the job names instead, as a container would run it.
fn program(image: &Program, spec: &TrainingSpec, folder: &RunFolder, name: &str, job: &TrainingJob) -> Program {
    let located = |words: &[String]| words.iter().map(|word| folder.located(word).into()).collect::<Vec<_>>();
    let mut program = image.clone();
    if let Some((path, arguments)) = spec.entrypoint.split_first() {
        let path = folder.located(path);
        program.arg0 = path.clone().into();
        program.path = path.into();
        program.arguments = located(arguments);
    }
    match (spec.arguments.is_empty(), spec.entrypoint.is_empty()) {
        (false, _) => program.arguments.extend(located(&spec.arguments)),
        (true, true) => program.arguments.push("train".into()),
        (true, false) => {}
    }
    let environment = child::of_client(&spec.environment).map(|(name, value)| (name, folder.located(&value)));
    program.environment.extend(environment);
    program.environment.extend(folder.environment(name, job));
    program
}

/// A reason that fits AWS's limit.
fn bounded(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}
