//! What a command needs so that its AWS SDKs and the SageMaker SDK talk to a local cloud only: variables, the SDK's configuration, a
//! `docker` on its `PATH`, and the file that names a notebook's role.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::Context;
use local_cloud::process::{self, View};
use local_cloud::{ACCOUNT, Image, REGION};
use serde_json::json;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::docker;

/// The role of every caller, as `GetCallerIdentity` of the local cloud names it.
const ROLE: &str = "local";
/// Variables that would lead a call somewhere else, or give it other keys.
const REMOVED: [&str; 6] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
];

/// The bucket that the SageMaker SDK uses unless a script names one, under the name that the SDK would choose.
pub(crate) fn default_bucket() -> String {
    format!("sagemaker-{REGION}-{ACCOUNT}")
}

/// The files of a launch, removed when it is dropped.
pub(crate) struct Launch {
    folder: tempfile::TempDir,
    aws: String,
}

impl Launch {
    /// Writes the files for commands that use the cloud at this URL, and these images in local mode.
    ///
    /// # Errors
    /// The temporary folder cannot be written.
    pub(crate) fn prepare(aws: &str, images: &[Image]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder cannot be made")?;
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "metadata", "stash"] {
            fs::create_dir(path(name))?;
        }
        // JSON is YAML, too. SDKs check the schema.
        let session = json!({"DefaultS3Bucket": default_bucket()});
        let modules = json!({"TelemetryOptOut": true, "Session": session});
        let settings = json!({"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": modules}}});
        fs::write(path("config.yaml"), settings.to_string())?;
        let role = json!({"ExecutionRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}")});
        fs::write(path("metadata/resource-metadata.json"), role.to_string())?;
        let containers = docker::Settings { images: images.to_vec(), folder: path("containers") };
        fs::write(path("containers.json"), serde_json::to_vec(&containers)?)?;
        let this = std::env::current_exe().context("the path of this program is not known")?;
        for name in docker::NAMES {
            std::os::unix::fs::symlink(&this, path("bin").join(name))?;
        }
        Ok(Self { folder, aws: aws.to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command to its end. Ctrl-C reaches it as it would without this process; a SIGTERM is passed on.
    ///
    /// # Errors
    /// The command cannot be executed.
    pub(crate) async fn run(&self, words: &[OsString]) -> anyhow::Result<ExitStatus> {
        let (name, arguments) = words.split_first().context("there is no command")?;
        // The shell's own signal ends the command. This process waits for it.
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut command = Command::new(name);
        command.args(arguments).kill_on_drop(true);
        for name in REMOVED.iter().map(OsString::from).chain(std::env::vars_os().map(|(name, _)| name).filter(|name| {
            // The URL of one service would win over that of all.
            name.to_str().is_some_and(|name| name.starts_with("AWS_ENDPOINT_URL_"))
        })) {
            command.env_remove(name);
        }
        command.envs(self.variables()?);
        if View::works() {
            let shown = (self.path("metadata"), PathBuf::from("/opt/ml/metadata"));
            View::new(vec![shown], None, self.path("stash")).show(&mut command)?;
        } else {
            note!(
                "this system gives a process no /opt/ml of its own (on Linux, see kernel.apparmor_restrict_unprivileged_userns and \
                 user.max_user_namespaces): sagemaker.get_execution_role() would ask AWS, so name a role instead"
            );
        }
        process::end_with_parent(&mut command);
        let mut child = command.spawn().with_context(|| format!("{} cannot be executed", Path::new(name).display()))?;
        let id = child.id();
        loop {
            tokio::select! {
                status = child.wait() => return status.context("the command cannot be waited for"),
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {
                    if let Some(id) = id {
                        process::terminate(id);
                    }
                }
            }
        }
    }

    fn variables(&self) -> anyhow::Result<Vec<(&'static str, OsString)>> {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.path("bin")).chain(std::env::split_paths(&others));
        Ok(vec![
            ("AWS_ENDPOINT_URL", self.aws.clone().into()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
            ("AWS_REGION", REGION.into()),
            ("AWS_DEFAULT_REGION", REGION.into()),
            // Nothing is asked of a machine of AWS, which this one is not.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", self.path("config.yaml").into()),
            (docker::SETTINGS, self.path("containers.json").into()),
            ("PATH", std::env::join_paths(folders).context("PATH cannot be set")?),
        ])
    }
}
