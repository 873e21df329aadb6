//! The operations on models.

use serde_json::{Value, json};

use super::listing::Item;
use super::request::{ApiError, Members};
use super::{ControlPlane, described, get};
use crate::s3::split_uri;
use crate::sagemaker::records::{Container, Kind, Model, Tag};

impl Model {
    fn read(mut request: Members) -> Result<(String, Self, Vec<Tag>), ApiError> {
        let name = request.name("ModelName")?;
        if request.take("Containers").is_some() {
            return Err(request.unsupported("Containers", "give one PrimaryContainer"));
        }
        if request.flag("EnableNetworkIsolation")? {
            let instead = "its model servers are processes of this machine, with its network";
            return Err(request.unsupported("EnableNetworkIsolation", instead));
        }
        let container = request.structure("PrimaryContainer")?;
        let container = request.required("PrimaryContainer", container)?;
        let model = Self {
            primary_container: Container::read(container)?,
            execution_role_arn: request.text("ExecutionRoleArn", 2048)?,
            vpc_config: request.take("VpcConfig"),
            enable_network_isolation: false,
        };
        let tags = request.tags("Tags")?;
        request.done()?;
        Ok((name, model, tags))
    }
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
            container_hostname: container.text("ContainerHostname", 63)?,
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
        assert_eq!((name.as_str(), model.primary_container.environment["A"].as_str()), ("m", "1"));
        let source = json!({"S3Uri": "s3://b/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"});
        let (_, same) =
            read(&with(json!({"Image": "i:1", "ModelDataSource": {"S3DataSource": source.clone()}}))).unwrap();
        assert_eq!(same.primary_container.model_data_url, model.primary_container.model_data_url);
        assert_eq!(json!(same)["PrimaryContainer"]["ModelDataSource"]["S3DataSource"], source);
        assert_eq!(read(&with(json!({"Image": "i"}))).unwrap().1.primary_container.model_data_url, None);
    }

    #[test]
    fn unsupported_members_are_refused_by_name() {
        let source = |uri: &str, kind: &str, compression: &str| {
            let data = json!({"S3Uri": uri, "S3DataType": kind, "CompressionType": compression});
            with(json!({"Image": "i", "ModelDataSource": {"S3DataSource": data}}))
        };
        let both = json!({"ModelName": "m", "PrimaryContainer": {"Image": "i"}, "EnableNetworkIsolation": true});
        for (request, named) in [
            (json!({"ModelName": "m", "Containers": [{"Image": "i"}]}), "containers is not supported"),
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
