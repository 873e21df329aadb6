//! The life of an endpoint in the background: deployment, update, removal, and resumption after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::future::try_join_all;

use super::hosted::{Hosted, Serving};
use super::launcher::{Launch, LaunchError};
use super::model_data;
use super::{Hosting, stream};
use crate::error::{CloudError, chain};
use crate::queue;
use crate::sagemaker::records::{self, Deployment, Endpoint, Kind, Record, Status};

/// The longest `FailureReason` of AWS, in characters.
const LONGEST_REASON: usize = 1024;

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
            all.iter().flat_map(|record| record.value.containers()).map(|used| used.id.to_string()).collect();
        let models = &self.place().models;
        collect_garbage(models, &used).map_err(|source| CloudError::DataFolder { path: models.clone(), source })?;
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

    /// Brings up the current deployment, if it does not run, with the weights and counts that are desired; then the pending one.
    async fn deploy(&self, hosted: &Hosted) {
        let Some(record) = self.read_endpoint(&hosted.name) else { return };
        let mut failure = None;
        let models = &self.place().models;
        let mut current = record.current;
        if let Some(current) = &mut current {
            let has_changed = current.settle();
            if !hosted.serves() {
                match self.launch(&hosted.name, current).await {
                    Ok(serving) => hosted.switch(serving, models),
                    Err(error) => failure = Some(error),
                }
            } else if has_changed {
                hosted.change(current.clone());
            }
        }
        if let Some(pending) = record.pending {
            match self.launch(&hosted.name, &pending).await {
                Ok(serving) => {
                    failure = None;
                    // It serves before its status is InService.
                    hosted.switch(serving, models);
                    current = Some(pending);
                }
                Err(error) => {
                    self.remove_models(&pending);
                    failure = Some(error);
                }
            }
        }
        let (status, action) =
            if hosted.serves() { (Status::InService, "InService") } else { (Status::Failed, "Failed") };
        let reason = failure.map(|error| bounded(&chain(&error)));
        let (detail, tail) = match &reason {
            None => ("ready to be invoked", ""),
            Some(reason) => reason.split_once('\n').unwrap_or((reason, "")),
        };
        let detail = format!("{}: {detail}", hosted.name);
        tracing::info!(target: "hop", service = "SageMaker", action, detail, tail);
        self.change_endpoint(&hosted.name, |endpoint| {
            endpoint.status = status;
            endpoint.failure_reason.clone_from(&reason);
            endpoint.pending = None;
            endpoint.current.clone_from(&current);
        })
        .await;
    }

    /// Starts the model servers of all variants with their models' files, and waits until they are healthy.
    async fn launch(&self, endpoint: &str, deployment: &Deployment) -> Result<Serving, LaunchError> {
        // In another folder than the functions' logs: an endpoint may have a function's name.
        let logs = self.place().logs.join("endpoints").join(endpoint);
        let environment = BTreeMap::new();
        let launches: Vec<_> = deployment
            .variants
            .iter()
            .map(|variant| {
                let config = &deployment.config;
                let log = match deployment.variants.len() {
                    1 => config.clone(),
                    _ => format!("{config}.{}", variant.name),
                };
                Launch {
                    name: endpoint,
                    of: format!("production variant {}", variant.name),
                    containers: &variant.containers,
                    environment: &environment,
                    models: &self.place().models,
                    startup_timeout: variant.startup_timeout(),
                    log: logs.join(log),
                    stream: stream(endpoint, &variant.name),
                }
            })
            .collect();
        let servers = try_join_all(launches.iter().map(|launch| self.launcher.start(launch))).await?;
        Ok(Serving::new(deployment.clone(), servers))
    }

    /// Stops the servers, then deletes the queued requests, the record and the files.
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
        endpoint.deployments().for_each(|deployment| self.remove_models(deployment));
    }

    /// Removes the files of a deployment's models.
    fn remove_models(&self, deployment: &Deployment) {
        let models = &self.place().models;
        deployment.containers().for_each(|container| model_data::remove(&models.join(container.id.to_string())));
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
