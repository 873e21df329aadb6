//! The file of `docker compose`, as the SageMaker SDK's local mode writes it (`sagemaker/local/image.py`).

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use saphyr::{LoadableYamlNode, Scalar, Yaml};

/// The port of SageMaker's containers.
const CONTAINER_PORT: &str = "8080";

/// The services of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ComposeFile {
    pub(super) services: Vec<Service>,
}

/// A container of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) image: String,
    /// What replaces the image's program.
    pub(super) entrypoint: Option<Vec<String>>,
    /// The arguments: `train` or `serve`.
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) mounts: Vec<Mount>,
    /// The port of this machine that leads to the container's port 8080.
    pub(super) port: Option<u16>,
}

/// A folder of this machine, and the path where the container finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) folder: PathBuf,
    pub(super) at: PathBuf,
}

impl ComposeFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is no YAML, or holds something that this stand-in does not understand.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no file that local mode writes", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let documents = Yaml::load_from_str(text)?;
        let services = documents.first().and_then(|document| document.as_mapping_get("services"));
        let services = services.and_then(Yaml::as_mapping).context("it has no mapping `services`")?;
        let service = |(name, service): (&Yaml<'_>, &Yaml<'_>)| {
            let name = text_of(name).context("the name of a service is no text")?;
            self::service(&name, service).with_context(|| format!("services.{name}"))
        };
        let services = services.iter().map(service).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!services.is_empty(), "`services` is empty");
        Ok(Self { services })
    }
}

fn service(name: &str, yaml: &Yaml<'_>) -> anyhow::Result<Service> {
    let words = |member: &str| match yaml.as_mapping_get(member) {
        Some(found) => {
            words(found).with_context(|| format!("{member} is neither a text nor a list of texts")).map(Some)
        }
        None => Ok(None),
    };
    let image = yaml.as_mapping_get("image").and_then(text_of).context("it has no `image`")?;
    let environment = words("environment")?.unwrap_or_default();
    let environment = environment.iter().map(|entry| match entry.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(anyhow::anyhow!("the variable {entry:?} has no `=`")),
    });
    let mounts = words("volumes")?.unwrap_or_default();
    let ports = words("ports")?.unwrap_or_default();
    Ok(Service {
        name: name.to_owned(),
        image,
        entrypoint: words("entrypoint")?,
        command: words("command")?.unwrap_or_default(),
        environment: environment.collect::<anyhow::Result<_>>()?,
        mounts: mounts.iter().map(|volume| mount(volume)).collect::<anyhow::Result<_>>()?,
        port: ports.first().map(|port| host_port(port)).transpose()?,
    })
}

/// `HOST:CONTAINER`, which options such as `:z` may follow.
fn mount(volume: &str) -> anyhow::Result<Mount> {
    let mut parts = volume.split(':');
    match (parts.next(), parts.next()) {
        (Some(folder), Some(at)) if folder.starts_with('/') && at.starts_with('/') => {
            Ok(Mount { folder: folder.into(), at: at.into() })
        }
        _ => anyhow::bail!("the volume {volume:?} is not made of two absolute paths, FOLDER:PATH"),
    }
}

/// `HOST:8080`, which an address may precede.
fn host_port(port: &str) -> anyhow::Result<u16> {
    let mut parts = port.rsplit(':');
    let (container, host) = (parts.next(), parts.next());
    ensure!(container == Some(CONTAINER_PORT), "the port {port:?} is not HOST:{CONTAINER_PORT}");
    host.and_then(|host| host.parse().ok()).with_context(|| format!("the port {port:?} names no port of this machine"))
}

fn text_of(node: &Yaml<'_>) -> Option<String> {
    match node {
        Yaml::Value(Scalar::String(text)) => Some(text.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        Yaml::Value(Scalar::FloatingPoint(number)) => Some(number.to_string()),
        Yaml::Value(Scalar::Boolean(truth)) => Some(truth.to_string()),
        _ => None,
    }
}

/// The texts of a list, of a mapping as `name=value`, or of one text.
fn words(node: &Yaml<'_>) -> Option<Vec<String>> {
    if let Some(list) = node.as_sequence() {
        return list.iter().map(text_of).collect();
    }
    if let Some(mapping) = node.as_mapping() {
        let pair = |(name, value)| Some(format!("{}={}", text_of(name)?, text_of(value)?));
        return mapping.iter().map(pair).collect();
    }
    if matches!(node, Yaml::Value(Scalar::Null)) {
        return Some(Vec::new());
    }
    shlex::split(&text_of(node)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_sdks_are_read() {
        let text = "
networks:
  sagemaker-local: {name: sagemaker-local}
services:
  algo-1-x2:
    command: serve
    container_name: y-algo-1-x2
    environment: &id001
    - AWS_ACCESS_KEY_ID=a=b
    - 'QUOTED={\"a\": 1}'
    image: 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.0-cpu-py310
    networks:
      sagemaker-local:
        aliases: [algo-1-x2]
    ports: ['8081:8080']
    stdin_open: true
    tty: true
    volumes:
    - /tmp/a/output:/opt/ml/output
    - /tmp/a/model:/opt/ml/model:z
  algo-2-x2:
    entrypoint: [/bin/bash, -c, chmod +x a && b]
    environment: *id001
    image: other
version: '2.3'
";
        let services = ComposeFile::parse(text).unwrap().services;
        let [first, second] = &services[..] else { panic!("{services:?}") };
        assert_eq!(
            (first.name.as_str(), first.port, &first.command[..]),
            ("algo-1-x2", Some(8081), &["serve".to_owned()][..])
        );
        let expected = [("AWS_ACCESS_KEY_ID", "a=b"), ("QUOTED", "{\"a\": 1}")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((&first.environment[..], &second.environment[..]), (&expected[..], &expected[..]));
        let mounts: Vec<_> = first.mounts.iter().map(|mount| (mount.folder.as_path(), mount.at.as_path())).collect();
        let path = Path::new;
        assert_eq!(
            mounts,
            [(path("/tmp/a/output"), path("/opt/ml/output")), (path("/tmp/a/model"), path("/opt/ml/model"))]
        );
        let entrypoint: Vec<&str> = second.entrypoint.iter().flatten().map(String::as_str).collect();
        assert_eq!(entrypoint, ["/bin/bash", "-c", "chmod +x a && b"]);
        assert_eq!((second.port, second.command.len()), (None, 0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let service = |more: &str| format!("services:\n  a:\n    image: x\n    {more}\n");
        for (text, named) in [
            ("services: [1".to_owned(), ""),
            ("a: 1".to_owned(), "no mapping `services`"),
            ("services: {}".to_owned(), "`services` is empty"),
            ("services: {a: {command: train}}".to_owned(), "services.a: it has no `image`"),
            (service("volumes: ['data:/opt/ml/x']"), "\"data:/opt/ml/x\""),
            (service("ports: ['8080:80']"), "\"8080:80\" is not HOST:8080"),
            (service("ports: ['x:8080']"), "names no port"),
            (service("environment: [A]"), "the variable \"A\" has no `=`"),
            (service("entrypoint: [[1]]"), "entrypoint is neither"),
        ] {
            let error = format!("{:#}", ComposeFile::parse(&text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
