//! The life of an endpoint in the background: deployment, update, removal, and resumption after a restart.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Hosting;
use super::hosted::{Hosted, Serving};
use super::model_data::{self, ModelDataError};
use super::model_server::{ModelServer, Server, StartError};
use crate::child;
use crate::error::{CloudError, chain};
use crate::queue;
use crate::sagemaker::images::{self, NoSuchImage};
use crate::sagemaker::records::{self, Deployment, Endpoint, Kind, Record, Status};

/// Where a container finds its model's files.
const MODEL_FOLDER: &str = "/opt/ml/model";
/// The longest `FailureReason` of AWS, in characters.
const LONGEST_REASON: usize = 1024;

/// Why a deployment cannot serve.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error(transparent)]
    Image(#[from] NoSuchImage),
    #[error(transparent)]
    ModelData(#[from] ModelDataError),
    #[error("The primary container for production variant {variant} did not pass the ping health check")]
    Server {
        variant: String,
        #[source]
        source: StartError,
    },
}

impl Hosting {
    /// Brings up the deployments of an endpoint, in the background.
    pub(crate) fn begin_deployment(self: &Arc<Self>, name: &str) {
        let hosted = self.host(name);
        let hosting = Arc::clone(self);
        self.begin(async move { hosting.deploy(&hosted).await });
    }

    /// Removes an endpoint, in the background. It gives no more leases from now on.
    pub(crate) fn begin_removal(self: &Arc<Self>, name: &str) {
        if let Some(hosted) = self.find(name) {
            hosted.leave();
        }
        let (hosting, name) = (Arc::clone(self), name.to_owned());
        self.begin(async move { hosting.remove(&name).await });
    }

    /// Resumes the endpoints of the last process, and deletes files that no deployment uses.
    pub(crate) fn resume(self: &Arc<Self>) -> Result<(), CloudError> {
        let failed = |source| self.journal.unusable(source);
        let all: Vec<Record<Endpoint>> =
            self.journal.read(|connection| records::all(connection, Kind::Endpoint)).map_err(failed)?;
        let used: BTreeSet<String> =
            all.iter().flat_map(|record| record.value.deployments()).map(|used| used.id.to_string()).collect();
        collect_garbage(&self.place.models, &used)
            .map_err(|source| CloudError::DataFolder { path: self.place.models.clone(), source })?;
        for Record { name, mut value, .. } in all.into_iter().filter(|record| !record.own) {
            match value.status {
                Status::Deleting => self.begin_removal(&name),
                // An endpoint that never served stays failed: it can only be deleted.
                Status::Failed if value.current.is_none() => {}
                _ => {
                    let is_update = value.current.is_some() && value.pending.is_some();
                    value.status = if is_update { Status::Updating } else { Status::Creating };
                    let now = self.journal.clock().now_millis();
                    let write = |transaction: &rusqlite::Transaction<'_>| {
                        records::update(transaction, Kind::Endpoint, &name, now, &value)
                    };
                    self.journal.write(write).map_err(failed)?;
                    self.begin_deployment(&name);
                }
            }
        }
        Ok(())
    }

    /// Brings up the current deployment, if it does not run, and then the pending one.
    async fn deploy(&self, hosted: &Hosted) {
        let Some(record) = self.read_endpoint(&hosted.name) else { return };
        let mut failure = None;
        if let Some(current) = record.current.filter(|_| !hosted.serves()) {
            match self.launch(&hosted.name, &current).await {
                Ok(serving) => hosted.switch(serving),
                Err(error) => failure = Some(error),
            }
        }
        let deployed = match record.pending {
            None => None,
            Some(pending) => match self.launch(&hosted.name, &pending).await {
                Ok(serving) => {
                    failure = None;
                    // It serves before its status is InService.
                    hosted.switch(serving);
                    Some(pending)
                }
                Err(error) => {
                    model_data::remove(&self.folder(&pending));
                    failure = Some(error);
                    None
                }
            },
        };
        let (status, action) =
            if hosted.serves() { (Status::InService, "InService") } else { (Status::Failed, "Failed") };
        let reason = failure.map(|error| bounded(&chain(&error)));
        let detail = reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or("ready to be invoked");
        tracing::info!(
            target: "hop", service = "SageMaker", action, detail = %format_args!("{}: {detail}", hosted.name)
        );
        self.change_endpoint(&hosted.name, |endpoint| {
            endpoint.status = status;
            endpoint.failure_reason.clone_from(&reason);
            endpoint.pending = None;
            if let Some(deployment) = &deployed {
                endpoint.current = Some(deployment.clone());
            }
        })
        .await;
    }

    /// Starts a model server with its model's files, and waits until it is healthy.
    async fn launch(&self, endpoint: &str, deployment: &Deployment) -> Result<Serving, LaunchError> {
        let mut program = images::find(&self.images, &deployment.image)?.program.clone();
        let folder = self.folder(deployment);
        model_data::fetch(deployment.model_data.as_deref(), &folder, &self.store, &self.journal).await?;
        program.environment.extend(child::of_client(&deployment.environment));
        program.environment.insert("SM_MODEL_DIR".to_owned(), folder.display().to_string());
        let server = Server {
            name: endpoint.to_owned(),
            program,
            view: self.place.view(vec![(folder.clone(), MODEL_FOLDER.into())]).await,
            startup_timeout: deployment.startup_timeout(),
            // In another folder than the functions' logs: an endpoint may have a function's name.
            log: self.place.logs.join("endpoints").join(endpoint).join(format!("{}.log", deployment.config)),
            stream: self.stream(endpoint, &deployment.variant),
        };
        let server = ModelServer::start(server, self.place.clone())
            .await
            .map_err(|source| LaunchError::Server { variant: deployment.variant.clone(), source })?;
        Ok(Serving::new(deployment.clone(), server, Some(folder)))
    }

    /// Stops the server, then deletes the queued requests, the record and the files.
    async fn remove(&self, name: &str) {
        if let Some(hosted) = self.release(name) {
            hosted.end().await;
        }
        let Some(endpoint) = self.read_endpoint(name) else { return };
        let queue = queue::of_endpoint(name);
        queue::settle(&self.journal, |transaction| {
            let dropped = queue::clear(transaction, &queue)?;
            if dropped > 0 {
                tracing::warn!(endpoint = name, dropped, "requests in the queue of a deleted endpoint are dropped");
            }
            records::delete(transaction, Kind::Endpoint, name)
        })
        .await;
        endpoint.deployments().for_each(|deployment| model_data::remove(&self.folder(deployment)));
    }

    /// The folder of a deployment's model files.
    fn folder(&self, deployment: &Deployment) -> PathBuf {
        self.place.models.join(deployment.id.to_string())
    }

    fn read_endpoint(&self, name: &str) -> Option<Endpoint> {
        match self.journal.read(|connection| records::get(connection, Kind::Endpoint, name)) {
            Ok(record) => record.map(|record| record.value),
            Err(error) => {
                tracing::error!(endpoint = name, %error, "the endpoint cannot be read");
                None
            }
        }
    }

    async fn change_endpoint(&self, name: &str, change: impl Fn(&mut Endpoint)) {
        queue::settle(&self.journal, |transaction| {
            let Some(mut record) = records::get::<Endpoint>(transaction, Kind::Endpoint, name)? else { return Ok(()) };
            change(&mut record.value);
            let now = self.journal.clock().now_millis();
            records::update(transaction, Kind::Endpoint, name, now, &record.value)
        })
        .await;
    }
}

/// A reason that fits AWS's limit: a longer one keeps its beginning and its end.
fn bounded(reason: &str) -> String {
    let characters: Vec<char> = reason.chars().collect();
    if characters.len() <= LONGEST_REASON {
        return reason.to_owned();
    }
    let (head, tail) = (LONGEST_REASON / 3, LONGEST_REASON - LONGEST_REASON / 3 - 3);
    let end = &characters[characters.len() - tail..];
    format!("{} … {}", characters[..head].iter().collect::<String>(), end.iter().collect::<String>())
}

/// Deletes the folders of model files that no deployment uses.
fn collect_garbage(models: &Path, used: &BTreeSet<String>) -> io::Result<()> {
    fs::create_dir_all(models)?;
    for entry in fs::read_dir(models)? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !used.contains(name)) {
            model_data::remove(&entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_keeps_its_beginning_and_its_end() {
        assert_eq!(bounded("short"), "short");
        let long = format!("begin{}the last words", "ö".repeat(3000));
        let cut = bounded(&long);
        assert_eq!(cut.chars().count(), LONGEST_REASON);
        assert!(cut.starts_with("begin") && cut.ends_with("the last words"), "{cut}");
    }

    #[test]
    fn unused_files_are_collected() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kept", "left", "left.partial"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        collect_garbage(folder.path(), &BTreeSet::from(["kept".to_owned()])).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
    }
}
