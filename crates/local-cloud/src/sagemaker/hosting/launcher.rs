//! Starts the model servers of a model: its containers' programs, with their models' files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;

use super::Place;
use super::model_data::{self, ModelDataError};
use super::model_server::{ModelServer, Server, StartError};
use super::pipeline::Pipeline;
use crate::child;
use crate::journal::Journal;
use crate::s3::ObjectStore;
use crate::sagemaker::images::{self, NoSuchImage};
use crate::sagemaker::records::ServedContainer;
use crate::stack::Image;

/// Where a container finds its model's files.
const MODEL_FOLDER: &str = "/opt/ml/model";

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Image(#[from] NoSuchImage),
    #[error(transparent)]
    ModelData(#[from] ModelDataError),
    #[error("The {container} container for {of} did not pass the ping health check")]
    Server {
        container: String,
        of: String,
        #[source]
        source: StartError,
    },
}

/// What model servers are started from.
#[derive(Clone)]
pub(crate) struct Launcher {
    pub(crate) images: Vec<Image>,
    pub(crate) place: Place,
    pub(crate) store: Arc<ObjectStore>,
    pub(crate) journal: Arc<Journal>,
}

/// The servers to start.
pub(crate) struct Launch<'a> {
    /// The name of the endpoint or the job.
    pub(crate) name: &'a str,
    /// What the servers are for, in the message of a failure: `production variant AllTraffic`.
    pub(crate) of: String,
    pub(crate) containers: &'a [ServedContainer],
    /// Variables that override the containers' own.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// Holds a folder for each container's model.
    pub(crate) models: &'a Path,
    pub(crate) startup_timeout: Duration,
    /// The log, without `.log`. In a pipeline the container's name follows.
    pub(crate) log: PathBuf,
    /// Group and name of the stream that output is copied to. In a pipeline the container's name follows.
    pub(crate) stream: (String, String),
}

impl Launcher {
    /// Starts the servers at once, and waits until all are healthy. If one fails, none is left.
    pub(crate) async fn start(&self, launch: &Launch<'_>) -> Result<Pipeline, LaunchError> {
        let servers = launch.containers.iter().map(|container| self.start_one(launch, container));
        Ok(Pipeline::new(try_join_all(servers).await?))
    }

    async fn start_one(&self, launch: &Launch<'_>, container: &ServedContainer) -> Result<ModelServer, LaunchError> {
        let mut program = images::find(&self.images, &container.image)?.program.clone();
        let folder = launch.models.join(container.id.to_string());
        model_data::fetch(container.model_data.as_deref(), &folder, &self.store, &self.journal).await?;
        program.environment.extend(child::of_client(&container.environment));
        program.environment.extend(launch.environment.clone());
        program.environment.insert("SM_MODEL_DIR".to_owned(), folder.display().to_string());
        let (group, stream) = &launch.stream;
        let (log, stream) = match launch.containers.len() {
            1 => (launch.log.clone(), stream.clone()),
            _ => {
                let mut log = launch.log.clone().into_os_string();
                log.push(format!(".{}", container.name));
                (log.into(), format!("{stream}/{}", container.name))
            }
        };
        let server = Server {
            name: launch.name.to_owned(),
            container: container.name.clone(),
            program,
            view: self.place.view(vec![(folder, MODEL_FOLDER.into())]).await,
            startup_timeout: launch.startup_timeout,
            log: with_log(log),
            stream: self.place.streams.stream(group, &stream),
            shares_ports: launch.containers.len() > 1,
        };
        ModelServer::start(server, self.place.clone()).await.map_err(|source| LaunchError::Server {
            container: container.name.clone(),
            of: launch.of.clone(),
            source,
        })
    }
}

/// A path with `.log` after its last name, which may hold dots.
fn with_log(path: PathBuf) -> PathBuf {
    let mut path = path.into_os_string();
    path.push(".log");
    path.into()
}
