//! What becomes of an endpoint in the background: it is brought up, updated, removed, and taken up again after a restart.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::endpoint::{Hosted, Serving};
use super::endpoints::{Deployment, Endpoint, Status};
use super::images::{self, NoSuchImage};
use super::model_data::{self, ModelDataError};
use super::model_server::{ModelServer, Server, StartError};
use super::records::{self, Kind, Record};
use super::{SageMaker, chain};
use crate::child::Spawner;
use crate::{CloudError, queue};

/// The longest reason that AWS tells, in characters.
const LONGEST_REASON: usize = 1024;

/// Where what endpoints need lies on this machine.
pub(crate) struct Place {
    pub(crate) spawner: Spawner,
    /// The folder of logs.
    pub(crate) logs: PathBuf,
    /// The folder of models' files, one folder for each deployment.
    pub(crate) models: PathBuf,
}

/// Why a deployment does not serve.
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

impl SageMaker {
    /// Brings up what is to run, in the background.
    pub(super) fn begin_deployment(self: &Arc<Self>, name: &str) {
        let hosted = self.host(name);
        let sagemaker = Arc::clone(self);
        self.begin(async move { sagemaker.deploy(&hosted).await });
    }

    /// Removes an endpoint, which is not found any more, in the background.
    pub(super) fn begin_removal(self: &Arc<Self>, name: &str) {
        if let Some(hosted) = self.hosted(name) {
            hosted.leave();
        }
        let (sagemaker, name) = (Arc::clone(self), name.to_owned());
        self.begin(async move { sagemaker.remove(&name).await });
    }

    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        while background.try_join_next().is_some() {}
        background.spawn(work);
    }

    /// The endpoint to be invoked, there from now on, with a worker on its queue.
    pub(super) fn host(self: &Arc<Self>, name: &str) -> Arc<Hosted> {
        let mut all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
        let hosted = all.entry(name.to_ascii_lowercase()).or_insert_with(|| {
            let hosted = Arc::new(Hosted::new(name));
            hosted.spawn(Arc::clone(self).work(Arc::clone(&hosted)));
            hosted
        });
        Arc::clone(hosted)
    }

    /// Takes up what was there when the last process ended, and forgets files that belong to nothing.
    pub(super) fn resume(self: &Arc<Self>) -> Result<(), CloudError> {
        let failed = |source| CloudError::Journal { path: self.place.models.clone(), source };
        let all: Vec<Record<Endpoint>> =
            self.journal.read(|connection| records::all(connection, Kind::Endpoint)).map_err(failed)?;
        let used: BTreeSet<String> =
            all.iter().flat_map(|record| record.value.deployments()).map(|used| used.id.to_string()).collect();
        collect_garbage(&self.place.models, &used)
            .map_err(|source| CloudError::DataFolder { path: self.place.models.clone(), source })?;
        for Record { name, mut value, .. } in all.into_iter().filter(|record| !record.own) {
            match value.status {
                Status::Deleting => self.begin_removal(&name),
                // What never ran is not tried again: only deleting it helps.
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

    /// Brings up what ran before, if it does not run, and what is to run.
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
                    // First it serves, then it is in service.
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
        let told = reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or("ready to be invoked");
        tracing::info!(
            target: "hop", service = "SageMaker", action, detail = %format_args!("{}: {told}", hosted.name)
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
        program.environment.extend(deployment.environment.clone());
        program.environment.insert("SM_MODEL_DIR".to_owned(), folder.display().to_string());
        let server = Server {
            name: endpoint.to_owned(),
            program,
            startup_timeout: deployment.startup_timeout(),
            // A folder of its own: an endpoint may be called like a function.
            log: self.place.logs.join("endpoints").join(endpoint).join(format!("{}.log", deployment.config)),
        };
        let server = ModelServer::start(server, self.place.spawner.clone())
            .await
            .map_err(|source| LaunchError::Server { variant: deployment.variant.clone(), source })?;
        Ok(Serving::new(deployment.clone(), server, Some(folder)))
    }

    /// Stops the server, then drops what is left in the queue, the record and the files.
    async fn remove(&self, name: &str) {
        let hosted = {
            let mut all = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(&name.to_ascii_lowercase())
        };
        if let Some(hosted) = hosted {
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

    pub(super) fn folder(&self, deployment: &Deployment) -> PathBuf {
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

/// The reason, or what fits of it: how it begins, and the last words.
fn bounded(reason: &str) -> String {
    let characters: Vec<char> = reason.chars().collect();
    if characters.len() <= LONGEST_REASON {
        return reason.to_owned();
    }
    let (head, tail) = (LONGEST_REASON / 3, LONGEST_REASON - LONGEST_REASON / 3 - 3);
    let end = &characters[characters.len() - tail..];
    format!("{} … {}", characters[..head].iter().collect::<String>(), end.iter().collect::<String>())
}

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
    fn a_reason_keeps_its_beginning_and_the_last_words() {
        assert_eq!(bounded("short"), "short");
        let long = format!("begin{}the last words", "ö".repeat(3000));
        let cut = bounded(&long);
        assert_eq!(cut.chars().count(), LONGEST_REASON);
        assert!(cut.starts_with("begin") && cut.ends_with("the last words"), "{cut}");
    }

    #[test]
    fn files_of_nothing_are_collected() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kept", "left", "left.partial"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        collect_garbage(folder.path(), &BTreeSet::from(["kept".to_owned()])).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
    }
}
