//! The folder of a run: what the program finds at `/opt/ml`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::child::View;
use crate::sagemaker::hosting::Place;
use crate::sagemaker::records::{InputMode, Kind, TrainingJob, TrainingSpec};

/// The path where programs look for it.
const BASE: &str = "/opt/ml";
/// The most bytes of a failure file that are read: far more than the characters of a reason.
const LARGEST_FAILURE: u64 = 4096;

pub(super) struct RunFolder {
    folder: PathBuf,
    /// Where the program finds it: `/opt/ml`, or the folder itself.
    base: PathBuf,
    view: Option<View>,
}

impl RunFolder {
    /// The folder of a run, which may not exist yet.
    pub(super) async fn new(folder: PathBuf, spec: &TrainingSpec, place: &Place) -> Self {
        let ml = folder.join("ml");
        let mut view = place.view(vec![(ml.clone(), BASE.into())]).await;
        if let Some(view) = &mut view {
            view.hosts = Some(folder.join("hosts"));
            for channel in spec.channels.iter().filter(|channel| channel.mode == InputMode::FastFile) {
                let data = |base: &Path| base.join("input/data").join(&channel.name);
                view.read_only.push((data(Path::new(BASE)), data(&ml)));
            }
        }
        let base = if view.is_some() { PathBuf::from(BASE) } else { ml };
        Self { folder, base, view }
    }

    /// Makes the folder anew, with the files of configuration.
    pub(super) fn create(&self, spec: &TrainingSpec) -> io::Result<()> {
        remove(&self.folder);
        for folder in ["input/config", "input/data", "model", "output/data", "code"] {
            fs::create_dir_all(self.ml().join(folder))?;
        }
        for (name, content) in [
            ("hyperparameters", self.hyperparameters(spec)),
            ("inputdataconfig", input_data_config(spec)),
            ("resourceconfig", resource_config(spec)),
        ] {
            fs::write(self.ml().join(format!("input/config/{name}.json")), content.to_string())?;
        }
        // A program may look its own host up.
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1 localhost\n".to_owned());
        fs::write(self.folder.join("hosts"), format!("{}\n127.0.0.1 algo-1\n", hosts.trim_end()))
    }

    fn hyperparameters(&self, spec: &TrainingSpec) -> Value {
        spec.hyperparameters.iter().map(|(name, value)| (name.clone(), self.located(value))).collect()
    }

    /// The folder that the program finds at `/opt/ml`.
    pub(super) fn ml(&self) -> PathBuf {
        self.folder.join("ml")
    }

    pub(super) fn channel(&self, name: &str) -> PathBuf {
        self.ml().join("input/data").join(name)
    }

    pub(super) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// How the program finds the folder, for the first line of its log.
    pub(super) fn says(&self) -> String {
        if self.view.is_some() {
            return "[local cloud] /opt/ml is this job's own, in a mount namespace".to_owned();
        }
        format!(
            "[local cloud] this system gives a process no /opt/ml of its own (on Linux, see kernel.apparmor_restrict_unprivileged_userns \
             and user.max_user_namespaces): SAGEMAKER_BASE_DIR={}",
            self.base.display()
        )
    }

    /// A text with the paths that the program would look for, made those where it finds them.
    pub(super) fn located(&self, text: &str) -> String {
        let base = self.base.display().to_string();
        match self.view {
            Some(_) => text.to_owned(),
            None if text == BASE => base,
            None => text.replace(&format!("{BASE}/"), &format!("{base}/")),
        }
    }

    /// The variables that SageMaker and its training toolkit set.
    pub(super) fn environment(&self, name: &str, job: &TrainingJob) -> BTreeMap<String, String> {
        let path = |below: &str| self.base.join(below).display().to_string();
        let mut variables = BTreeMap::from([
            ("TRAINING_JOB_NAME".to_owned(), name.to_owned()),
            ("TRAINING_JOB_ARN".to_owned(), Kind::TrainingJob.arn(name)),
            ("SM_MODEL_DIR".to_owned(), path("model")),
            ("SM_INPUT_DIR".to_owned(), path("input")),
            ("SM_OUTPUT_DIR".to_owned(), path("output")),
            ("SM_OUTPUT_DATA_DIR".to_owned(), path("output/data")),
            (super::MARK.to_owned(), job.id.to_string()),
        ]);
        for channel in &job.spec.channels {
            let variable = format!("SM_CHANNEL_{}", channel.name.to_ascii_uppercase());
            variables.insert(variable, path(&format!("input/data/{}", channel.name)));
        }
        if self.view.is_none() {
            variables.insert("SAGEMAKER_BASE_DIR".to_owned(), self.base.display().to_string());
            // The toolkit would wait for the host `algo-1`, which nobody knows.
            variables.insert("SM_STUDIO_LOCAL_MODE".to_owned(), "true".to_owned());
        }
        variables
    }

    /// What the program wrote of its failure. Only a plain file counts.
    pub(super) fn failure(&self) -> String {
        let path = self.ml().join("output/failure");
        if !fs::symlink_metadata(&path).is_ok_and(|file| file.is_file()) {
            return String::new();
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(&path).and_then(|file| file.take(LARGEST_FAILURE).read_to_end(&mut bytes));
        if let Err(error) = read {
            tracing::warn!(path = %path.display(), %error, "the failure file cannot be read");
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    pub(super) fn remove(&self) {
        remove(&self.folder);
    }
}

/// Removes the folder of a run. What cannot be removed is collected at the next start.
pub(super) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "the files of a job cannot be removed");
    }
}

fn input_data_config(spec: &TrainingSpec) -> Value {
    let channels = spec.channels.iter().map(|channel| {
        let mut shown = json!({
            "TrainingInputMode": channel.mode.as_str(),
            "S3DistributionType": channel.distribution,
            "RecordWrapperType": "None",
        });
        if let Some(content_type) = &channel.content_type {
            shown["ContentType"] = json!(content_type);
        }
        (channel.name.clone(), shown)
    });
    Value::Object(channels.collect())
}

fn resource_config(spec: &TrainingSpec) -> Value {
    let (hosts, group, kind) = (["algo-1"], "homogeneousCluster", &spec.instance_type);
    json!({
        "current_group_name": group,
        "current_host": "algo-1",
        "current_instance_type": kind,
        "hosts": hosts,
        "instance_groups": [{"instance_group_name": group, "instance_type": kind, "hosts": hosts}],
        "network_interface_name": if cfg!(target_os = "linux") { "lo" } else { "lo0" },
        "topology": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sagemaker::records::Channel;

    fn job() -> TrainingJob {
        let channel = Channel {
            name: "train".into(),
            content_type: None,
            mode: InputMode::File,
            uri: "s3://b/in".into(),
            is_manifest: false,
            distribution: "FullyReplicated".into(),
        };
        let spec = TrainingSpec {
            image: "i".into(),
            entrypoint: Vec::new(),
            arguments: Vec::new(),
            metrics: Vec::new(),
            hyperparameters: BTreeMap::from([("out".to_owned(), "/opt/ml/model/x".to_owned())]),
            environment: BTreeMap::new(),
            channels: vec![channel],
            output_path: "s3://b/out".into(),
            is_archive: true,
            instance_type: "ml.m5.large".into(),
            max_runtime_seconds: 60,
            checkpoints: None,
        };
        TrainingJob::new(spec, Value::Null, 0)
    }

    #[test]
    fn without_a_view_variables_and_texts_name_the_folder() {
        let (folder, job) = (tempfile::tempdir().unwrap(), job());
        let run = folder.path().join("run");
        let base = run.join("ml");
        let without = RunFolder { folder: run.clone(), base: base.clone(), view: None };
        without.create(&job.spec).unwrap();
        let path = |below: &str| base.join(below).display().to_string();
        let variables = without.environment("j", &job);
        assert_eq!(variables["SAGEMAKER_BASE_DIR"], base.display().to_string());
        assert_eq!(variables["SM_CHANNEL_TRAIN"], path("input/data/train"));
        assert_eq!(variables["SM_STUDIO_LOCAL_MODE"], "true");
        assert_eq!(without.located("--out=/opt/ml/model"), format!("--out={}", path("model")));
        assert_eq!(without.located("/opt/ml"), base.display().to_string());
        assert_eq!(without.located("/opt/mlx and /opt/ml"), "/opt/mlx and /opt/ml");
        let written = fs::read_to_string(base.join("input/config/hyperparameters.json")).unwrap();
        assert_eq!(written, json!({"out": path("model/x")}).to_string());
        assert!(without.says().contains("SAGEMAKER_BASE_DIR"));

        let with = RunFolder { folder: run.clone(), base: BASE.into(), view: Some(View::default()) };
        with.create(&job.spec).unwrap();
        let variables = with.environment("j", &job);
        assert_eq!((variables["SM_MODEL_DIR"].as_str(), variables.get("SAGEMAKER_BASE_DIR")), ("/opt/ml/model", None));
        assert_eq!(with.located("/opt/ml/model"), "/opt/ml/model");
        with.remove();
        assert!(!run.exists());
    }
}
