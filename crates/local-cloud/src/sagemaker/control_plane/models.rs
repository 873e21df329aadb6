//! The operations on models.

use serde_json::{Value, json};

use super::listing::Item;
use super::request::{ApiError, Members};
use super::{ControlPlane, described, get};
use crate::s3::split_uri;
use crate::sagemaker::records::{Container, Kind, Model, Tag};

/// The most containers of a pipeline.
const MOST_CONTAINERS: usize = 15;

impl Model {
    fn read(mut request: Members) -> Result<(String, Self, Vec<Tag>), ApiError> {
        let name = request.name("ModelName")?;
        if request.flag("EnableNetworkIsolation")? {
            let instead = "its model servers are processes of this machine, with its network";
            return Err(request.unsupported("EnableNetworkIsolation", instead));
        }
        let primary = request.structure("PrimaryContainer")?.map(Container::read).transpose()?;
        let containers = containers(&mut request)?;
        if primary.is_some() && !containers.is_empty() {
            return Err(ApiError::validation("Specify one of PrimaryContainer and Containers, not both."));
        }
        if primary.is_none() && containers.is_empty() {
            return request.required("PrimaryContainer", None);
        }
        let model = Self {
            primary_container: primary,
            containers,
            inference_execution_config: execution_config(&mut request)?,
            execution_role_arn: request.text("ExecutionRoleArn", 2048)?,
            vpc_config: request.take("VpcConfig"),
            enable_network_isolation: false,
        };
        let tags = request.tags("Tags")?;
        request.done()?;
        Ok((name, model, tags))
    }
}

/// The containers of a pipeline. Their names differ.
fn containers(request: &mut Members) -> Result<Vec<Container>, ApiError> {
    let given = request.structures("Containers")?;
    if given.len() > MOST_CONTAINERS {
        let constraint = format!("Member must have length less than or equal to {MOST_CONTAINERS}");
        return Err(request.invalid("Containers", &json!(given.len()), &constraint));
    }
    let containers = given.into_iter().map(Container::read).collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<&str> =
        containers.iter().filter_map(|container| container.container_hostname.as_deref()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let constraint = "Member must have unique values of ContainerHostname";
        return Err(request.invalid("Containers", &json!(twice[0]), constraint));
    }
    Ok(containers)
}

/// How the containers of a model work together, as the request has it.
fn execution_config(request: &mut Members) -> Result<Option<Value>, ApiError> {
    let Some(mut config) = request.structure("InferenceExecutionConfig")? else { return Ok(None) };
    let shown = config.shown();
    if config.one_of("Mode", &["Serial", "Direct"])? == Some("Direct") {
        return Err(config.unsupported("Mode", "Serial works: a request passes through all containers"));
    }
    config.done()?;
    Ok(Some(shown))
}

impl Container {
    fn read(mut container: Members) -> Result<Self, ApiError> {
        let image = container.text("Image", 255)?.filter(|image| !image.is_empty());
        let image = container.required("Image", image)?;
        if container.one_of("Mode", &["SingleModel", "MultiModel"])? == Some("MultiModel") {
            return Err(container.unsupported("Mode", "SingleModel works"));
        }
        let mut url = container.text("ModelDataUrl", 1024)?;
        let source = container.take("ModelDataSource");
        if let Some(source) = &source {
            if url.is_some() {
                return Err(ApiError::validation("Specify one of ModelDataUrl and ModelDataSource, not both."));
            }
            url = Some(archive(source)?);
        }
        if let Some(url) = &url
            && split_uri(url).is_none()
        {
            return Err(container.invalid("ModelDataUrl", &json!(url), "it must be s3://bucket/key here"));
        }
        let read = Self {
            image,
            mode: "SingleModel".to_owned(),
            container_hostname: container.optional_name("ContainerHostname")?,
            image_config: container.take("ImageConfig"),
            model_data_url: url,
            model_data_source: source,
            environment: container.environment("Environment", (1024, 1024))?,
        };
        container.done()?;
        Ok(read)
    }
}

/// The archive that a source names.
fn archive(source: &Value) -> Result<String, ApiError> {
    let wrapped = json!({"ModelDataSource": source}).to_string();
    let mut top = Members::parse(wrapped.as_bytes())?;
    let source = top.structure("ModelDataSource")?;
    let mut source = top.required("ModelDataSource", source)?;
    let data = source.structure("S3DataSource")?;
    let mut data = source.required("S3DataSource", data)?;
    source.done()?;
    if data.one_of("CompressionType", &["None", "Gzip"])? != Some("Gzip") {
        return Err(data.unsupported("CompressionType", "Gzip works, with a tar.gz as its S3Object"));
    }
    if data.one_of("S3DataType", &["S3Prefix", "S3Object"])? != Some("S3Object") {
        return Err(data.unsupported("S3DataType", "S3Object works"));
    }
    let uri = data.text("S3Uri", 1024)?;
    let uri = data.required("S3Uri", uri)?;
    data.done()?;
    Ok(uri)
}

pub(super) fn create(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    let (name, model, tags) = Model::read(request)?;
    plane.create(Kind::Model, &name, &model, &tags)?;
    Ok(json!({"ModelArn": Kind::Model.arn(&name)}))
}

pub(super) fn describe(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("ModelName")?;
    request.done()?;
    let record = plane.journal.read(|connection| get::<Model>(connection, Kind::Model, &name))?;
    let mut shown = described(&record);
    shown["ModelName"] = json!(record.name);
    shown["ModelArn"] = json!(Kind::Model.arn(&record.name));
    Ok(shown)
}

pub(super) fn list(plane: &ControlPlane, request: Members) -> Result<Value, ApiError> {
    plane.list::<Model>(Kind::Model, "Model", request, |record, _| Item::new(record, ""))
}

pub(super) fn delete(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("ModelName")?;
    request.done()?;
    plane.delete::<Model>(Kind::Model, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: &Value) -> Result<(String, Model), ApiError> {
        Model::read(Members::parse(request.to_string().as_bytes()).unwrap()).map(|(name, model, _)| (name, model))
    }

    fn with(container: Value) -> Value {
        json!({"ModelName": "m", "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r", "PrimaryContainer": container})
    }

    #[test]
    fn a_model_is_an_image_an_environment_and_an_archive() {
        let url = json!({"Image": "i:1", "ModelDataUrl": "s3://b/model.tar.gz", "Environment": {"A": "1"}});
        let (name, model) = read(&with(url)).unwrap();
        let container = model.primary_container.unwrap();
        assert_eq!((name.as_str(), container.environment["A"].as_str()), ("m", "1"));
        let source = json!({"S3Uri": "s3://b/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"});
        let (_, same) =
            read(&with(json!({"Image": "i:1", "ModelDataSource": {"S3DataSource": source.clone()}}))).unwrap();
        assert_eq!(same.primary_container.as_ref().unwrap().model_data_url, container.model_data_url);
        assert_eq!(json!(same)["PrimaryContainer"]["ModelDataSource"]["S3DataSource"], source);
        assert_eq!(read(&with(json!({"Image": "i"}))).unwrap().1.served()[0].model_data, None);
    }

    #[test]
    fn a_pipeline_is_a_list_of_containers_with_names() {
        let row = json!([{"Image": "a"}, {"Image": "b", "ContainerHostname": "second"}, {"Image": "c"}]);
        let request = json!({"ModelName": "m", "Containers": row, "InferenceExecutionConfig": {"Mode": "Serial"}});
        let (_, model) = read(&request).unwrap();
        let served: Vec<_> = model.served().into_iter().map(|container| (container.name, container.image)).collect();
        let expected = [("container-1", "a"), ("second", "b"), ("container-3", "c")];
        assert_eq!(served, expected.map(|(name, image)| (name.to_owned(), image.to_owned())));
        let shown = json!(model);
        assert_eq!(shown["Containers"][1]["ContainerHostname"], "second");
        assert_eq!(
            (&shown["InferenceExecutionConfig"]["Mode"], shown.get("PrimaryContainer")),
            (&json!("Serial"), None)
        );
    }

    #[test]
    fn unsupported_members_are_refused_by_name() {
        let source = |uri: &str, kind: &str, compression: &str| {
            let data = json!({"S3Uri": uri, "S3DataType": kind, "CompressionType": compression});
            with(json!({"Image": "i", "ModelDataSource": {"S3DataSource": data}}))
        };
        let both = json!({"ModelName": "m", "PrimaryContainer": {"Image": "i"}, "EnableNetworkIsolation": true});
        for (request, named) in [
            (json!({"ModelName": "m", "Containers": [{"Image": ""}]}), "containers.1.member.image"),
            (json!({"ModelName": "m", "Containers": vec![json!({"Image": "i"}); 16]}), "less than or equal to 15"),
            (
                json!({"ModelName": "m", "Containers": vec![json!({"Image": "i", "ContainerHostname": "a"}); 2]}),
                "unique values of ContainerHostname",
            ),
            (
                json!({"ModelName": "m", "Containers": [{"Image": "i", "ContainerHostname": "a_b"}]}),
                "containers.1.member.containerHostname",
            ),
            (json!({"ModelName": "m", "Containers": [{"Image": "i"}], "PrimaryContainer": {"Image": "i"}}), "not both"),
            (
                json!({"ModelName": "m", "Containers": [{"Image": "i"}], "InferenceExecutionConfig": {"Mode": "Direct"}}),
                "inferenceExecutionConfig.mode is not supported",
            ),
            (json!({"ModelName": "m"}), "primaryContainer"),
            (json!({"ModelName": "-", "PrimaryContainer": {"Image": "i"}}), "modelName"),
            (both, "enableNetworkIsolation"),
            (with(json!({})), "primaryContainer.image"),
            (with(json!({"Image": "i", "ModelPackageName": "p"})), "primaryContainer.modelPackageName"),
            (with(json!({"Image": "i", "Mode": "MultiModel"})), "primaryContainer.mode"),
            (with(json!({"Image": "i", "ModelDataUrl": "https://s3/b/k"})), "primaryContainer.modelDataUrl"),
            (with(json!({"Image": "i", "Environment": {"A": 1}})), "primaryContainer.environment"),
            (with(json!({"Image": "i", "Environment": {"LD_PRELOAD": "x"}})), "heed LD_PRELOAD"),
            (source("s3://b/k", "S3Prefix", "None"), "modelDataSource.s3DataSource.compressionType"),
            (source("s3://b/k", "S3Prefix", "Gzip"), "modelDataSource.s3DataSource.s3DataType"),
            (source("/b/k", "S3Object", "Gzip"), "s3://bucket/key"),
        ] {
            let words = read(&request).unwrap_err().to_string();
            assert!(words.contains(named), "{request}: {words}");
        }
    }
}
