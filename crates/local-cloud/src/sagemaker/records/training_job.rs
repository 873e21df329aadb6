//! The record of a training job: what was asked for, and how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Kind;
use super::job_status::JobStatus;

/// The secondary status of a training job, under its name in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Secondary {
    Starting,
    Downloading,
    Training,
    Interrupted,
    Stopping,
    Uploading,
    Completed,
    Failed,
    Stopped,
    MaxRuntimeExceeded,
}

impl Secondary {
    /// SageMaker's words for it.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Starting => "Starting the training job",
            Self::Downloading => "Downloading input data",
            Self::Training => "Training image download completed. Training in progress.",
            Self::Interrupted => "Training job interrupted",
            Self::Stopping => "Stopping the training job",
            Self::Uploading => "Uploading generated training model",
            Self::Completed => "Training job completed",
            Self::Failed => "Training job failed",
            Self::Stopped => "Training job stopped",
            Self::MaxRuntimeExceeded => "Training job runtime exceeded MaxRuntimeInSeconds provided",
        }
    }
}

/// A secondary status that the job has or had. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transition {
    pub(crate) status: Secondary,
    pub(crate) message: String,
    pub(crate) start: i64,
    pub(crate) end: Option<i64>,
}

/// How a program ended whose outputs are to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    Completed,
    Stopped,
    MaxRuntimeExceeded,
}

/// How objects of S3 become files of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InputMode {
    File,
    /// The files cannot be written to.
    FastFile,
}

impl InputMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::FastFile => "FastFile",
        }
    }
}

/// A channel of input data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) content_type: Option<String>,
    pub(crate) mode: InputMode,
    /// `s3://bucket/prefix`, or the location of a manifest.
    pub(crate) uri: String,
    pub(crate) is_manifest: bool,
    /// `FullyReplicated` or `ShardedByS3Key`.
    pub(crate) distribution: String,
}

/// A metric: the first group of the expression, in a line of the program's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricDefinition {
    pub(crate) name: String,
    pub(crate) regex: String,
}

/// The last value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) value: f32,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// The checkpoints of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoints {
    /// `s3://bucket/prefix`, without a slash at the end.
    pub(crate) uri: String,
    /// The folder, relative to `/opt/ml`.
    pub(crate) folder: String,
}

/// What a training job runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingSpec {
    pub(crate) image: String,
    /// Replaces the image's program.
    pub(crate) entrypoint: Vec<String>,
    /// Replaces the argument `train`.
    pub(crate) arguments: Vec<String>,
    pub(crate) metrics: Vec<MetricDefinition>,
    pub(crate) hyperparameters: BTreeMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) channels: Vec<Channel>,
    /// `s3://bucket` or `s3://bucket/prefix`, without a slash at the end.
    pub(crate) output_path: String,
    /// Whether the model is stored as one archive.
    pub(crate) is_archive: bool,
    pub(crate) instance_type: String,
    pub(crate) max_runtime_seconds: u64,
    pub(crate) checkpoints: Option<Checkpoints>,
}

impl TrainingSpec {
    pub(crate) fn max_runtime(&self) -> Duration {
        Duration::from_secs(self.max_runtime_seconds)
    }

    /// The `s3://` location of the outputs of a job of this name.
    pub(crate) fn output(&self, name: &str) -> String {
        format!("{}/{name}/output", self.output_path)
    }

    /// The location of the model.
    pub(crate) fn model(&self, name: &str) -> String {
        let file = if self.is_archive { "model.tar.gz" } else { "model/" };
        format!("{}/{file}", self.output(name))
    }
}

/// A training job. The record has everything that a restart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingJob {
    /// The name of the folder of its files. Its processes carry it in their environment.
    pub(crate) id: Uuid,
    pub(crate) spec: TrainingSpec,
    /// The request's members with AWS's defaults, as a description shows them.
    pub(crate) request: Value,
    pub(crate) status: JobStatus,
    pub(crate) transitions: Vec<Transition>,
    /// Milliseconds since 1970; so is the end.
    pub(crate) started: Option<i64>,
    pub(crate) ended: Option<i64>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Set when the program has ended and the outputs are still to be stored.
    pub(crate) ending: Option<Ending>,
}

impl TrainingJob {
    /// A job that was asked for `now`, in milliseconds since 1970.
    pub(crate) fn new(spec: TrainingSpec, request: Value, now: i64) -> Self {
        let mut job = Self {
            id: Uuid::new_v4(),
            spec,
            request,
            status: JobStatus::InProgress,
            transitions: Vec::new(),
            started: None,
            ended: None,
            failure_reason: None,
            metrics: BTreeMap::new(),
            ending: None,
        };
        job.advance(Secondary::Starting, now);
        job
    }

    pub(crate) fn secondary(&self) -> Secondary {
        self.transitions.last().map_or(Secondary::Starting, |last| last.status)
    }

    /// The description of the job of this name, without the times of its record.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
    pub(crate) fn described(&self, name: &str) -> Value {
        let seconds = |millis: i64| Value::from(millis as f64 / 1000.0);
        let mut shown = self.request.clone();
        shown["TrainingJobName"] = json!(name);
        shown["TrainingJobArn"] = json!(Kind::TrainingJob.arn(name));
        shown["TrainingJobStatus"] = json!(self.status.as_str());
        shown["SecondaryStatus"] = json!(self.secondary());
        shown["ModelArtifacts"] = json!({"S3ModelArtifacts": self.spec.model(name)});
        let transitions = self.transitions.iter().map(|transition| {
            let mut shown = json!({
                "Status": transition.status,
                "StartTime": seconds(transition.start),
                "StatusMessage": transition.message,
            });
            if let Some(end) = transition.end {
                shown["EndTime"] = seconds(end);
            }
            shown
        });
        shown["SecondaryStatusTransitions"] = transitions.collect();
        if let Some(started) = self.started {
            shown["TrainingStartTime"] = seconds(started);
        }
        if let Some(ended) = self.ended {
            shown["TrainingEndTime"] = seconds(ended);
            // Whole seconds, and at least one for a job that ran.
            let time = self.started.map_or(0, |started| ((ended - started + 999) / 1000).max(1));
            shown["TrainingTimeInSeconds"] = json!(time);
            shown["BillableTimeInSeconds"] = json!(time);
        }
        if let Some(reason) = &self.failure_reason {
            shown["FailureReason"] = json!(reason);
        }
        if !self.metrics.is_empty() {
            let metrics = self.metrics.iter().map(
                |(name, metric)| json!({"MetricName": name, "Value": metric.value, "Timestamp": seconds(metric.at)}),
            );
            shown["FinalMetricDataList"] = metrics.collect();
        }
        shown
    }

    /// Changes the secondary status. A job that is being stopped goes on to the storing of its outputs only.
    pub(crate) fn advance(&mut self, to: Secondary, now: i64) {
        let is_start = matches!(to, Secondary::Starting | Secondary::Downloading | Secondary::Training);
        if self.status == JobStatus::Stopping && is_start {
            return;
        }
        match self.transitions.last_mut() {
            Some(last) if last.status == to => return,
            Some(last) => last.end = Some(now),
            None => {}
        }
        let end =
            matches!(to, Secondary::Completed | Secondary::Failed | Secondary::Stopped | Secondary::MaxRuntimeExceeded);
        let message = to.message().to_owned();
        self.transitions.push(Transition { status: to, message, start: now, end: end.then_some(now) });
    }

    /// Changes the message of the present secondary status.
    pub(crate) fn say(&mut self, message: &str) {
        if let Some(last) = self.transitions.last_mut() {
            message.clone_into(&mut last.message);
        }
    }

    /// Ends the job.
    pub(crate) fn end(&mut self, ending: Result<Ending, String>, now: i64) {
        let (status, secondary) = match &ending {
            Ok(Ending::Completed) => (JobStatus::Completed, Secondary::Completed),
            Ok(Ending::Stopped) => (JobStatus::Stopped, Secondary::Stopped),
            Ok(Ending::MaxRuntimeExceeded) => (JobStatus::Stopped, Secondary::MaxRuntimeExceeded),
            Err(_) => (JobStatus::Failed, Secondary::Failed),
        };
        self.status = status;
        self.failure_reason = ending.err();
        self.advance(secondary, now);
        self.ended = Some(now);
        self.ending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TrainingSpec {
        TrainingSpec {
            image: "i".into(),
            entrypoint: Vec::new(),
            arguments: Vec::new(),
            metrics: Vec::new(),
            hyperparameters: BTreeMap::new(),
            environment: BTreeMap::new(),
            channels: Vec::new(),
            output_path: "s3://b/out".into(),
            is_archive: true,
            instance_type: "ml.m5.large".into(),
            max_runtime_seconds: 60,
            checkpoints: None,
        }
    }

    #[test]
    fn each_transition_ends_where_the_next_one_begins() {
        let mut job = TrainingJob::new(spec(), Value::Null, 10);
        job.advance(Secondary::Downloading, 20);
        job.advance(Secondary::Downloading, 21);
        job.status = JobStatus::Stopping;
        job.advance(Secondary::Stopping, 30);
        job.advance(Secondary::Training, 31);
        job.advance(Secondary::Uploading, 40);
        job.end(Ok(Ending::Stopped), 50);
        let seen: Vec<_> = job.transitions.iter().map(|t| (t.status, t.start, t.end)).collect();
        let expected = [
            (Secondary::Starting, 10, Some(20)),
            (Secondary::Downloading, 20, Some(30)),
            (Secondary::Stopping, 30, Some(40)),
            (Secondary::Uploading, 40, Some(50)),
            (Secondary::Stopped, 50, Some(50)),
        ];
        assert_eq!(seen, expected);
        assert_eq!((job.status, job.ended), (JobStatus::Stopped, Some(50)));
        assert_eq!(job.spec.model("j"), "s3://b/out/j/output/model.tar.gz");
    }
}
