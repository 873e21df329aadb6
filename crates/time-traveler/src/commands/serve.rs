//! `serve`: the model server without a container.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use container::{Environment, ModelKind};

use crate::escape::Shown;

#[derive(Debug, Args)]
#[command(after_help = "The variables of the container hold here too: docs/container.md lists them.")]
pub(crate) struct Serve {
    /// Folder of the model's files; its checkpoint says which model it is [default: SM_MODEL_DIR]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Port to listen on; 0: any free port [default: SAGEMAKER_BIND_TO_PORT, or 8080]
    #[arg(long)]
    port: Option<u16>,
    /// IP address to listen on [default: BIND_HOST, or 127.0.0.1]
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
}

pub(crate) fn run(serve: &Serve) -> anyhow::Result<()> {
    let environment = environment(serve, Environment::of_this_process());
    if let Some(folder) = &serve.model {
        anyhow::ensure!(folder.is_dir(), "--model {}: there is no such folder", folder.shown());
        // A container falls back on the preview, since SageMaker gives it an empty folder. Who names a folder means what is in it.
        if ModelKind::of(&environment)? == ModelKind::FaceAging {
            aging::named_engine(folder).context("the model cannot be loaded")?;
        }
    }
    container::serve_by(&environment)
}

/// The variables of the process, with the options over them. A container listens on every address, this command on this machine's.
fn environment(serve: &Serve, variables: Environment) -> Environment {
    let local = (!variables.has("BIND_HOST")).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let options = [
        ("SM_MODEL_DIR", serve.model.as_ref().map(|folder| folder.display().to_string())),
        ("SAGEMAKER_BIND_TO_PORT", serve.port.map(|port| port.to_string())),
        ("BIND_HOST", serve.host.or(local).map(|host| host.to_string())),
    ];
    options.into_iter().fold(variables, |variables, (name, value)| match value {
        Some(value) => variables.with(name, value),
        None => variables,
    })
}

#[cfg(test)]
mod tests {
    use container::Settings;

    use super::*;

    #[test]
    fn options_come_before_variables_and_this_machine_before_every_address() {
        let serve = |port, host| Serve { model: None, port, host };
        let read = |serve: &Serve, variables| {
            let settings = Settings::read(&environment(serve, variables)).unwrap();
            (settings.host.to_string(), settings.port)
        };
        let set = Environment::default().with("BIND_HOST", "0.0.0.0".into()).with("SAGEMAKER_BIND_TO_PORT", "9".into());
        assert_eq!(read(&serve(None, None), Environment::default()), ("127.0.0.1".to_owned(), 8080));
        assert_eq!(read(&serve(None, None), set.clone()), ("0.0.0.0".to_owned(), 9));
        assert_eq!(read(&serve(Some(0), Some([127, 0, 0, 2].into())), set), ("127.0.0.2".to_owned(), 0));
    }
}
