//! Pictures in files and in Amazon S3.

use std::cell::OnceCell;

use anyhow::{Context, anyhow};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};
use dataset::{DatasetError, LocalPictures, MAX_PICTURE_BYTES, Pictures};
use tokio::runtime::Runtime;

use crate::client::aws;
use crate::runtime::runtime;

/// Fetches pictures by their path, or by `s3://bucket/key` through the AWS SDK, which the environment configures.
#[derive(Debug, Default)]
pub(super) struct StoredPictures {
    /// Made at the first use: local files need neither credentials nor a region.
    s3: OnceCell<(Runtime, Client)>,
}

impl StoredPictures {
    fn s3(&self) -> anyhow::Result<&(Runtime, Client)> {
        if let Some(made) = self.s3.get() {
            return Ok(made);
        }
        let runtime = runtime()?;
        let variables = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
        let endpoint = variables.iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
        let config = runtime.block_on(aws::config(endpoint.as_deref()));
        anyhow::ensure!(config.region().is_some(), "no AWS region is configured: set AWS_REGION");
        let client = Client::new(&config);
        Ok(self.s3.get_or_init(|| (runtime, client)))
    }

    fn object(&self, bucket: &str, key: &str) -> anyhow::Result<Vec<u8>> {
        let (runtime, client) = self.s3()?;
        runtime.block_on(async {
            let answer = client.get_object().bucket(bucket).key(key).send().await;
            let mut answer = answer.map_err(|error| match error.code() {
                Some(code) => anyhow!("S3 answers {code}: {}", error.message().unwrap_or("no reason")),
                None => anyhow!("{}", DisplayErrorContext(&error)),
            })?;
            let mut bytes = Vec::new();
            while let Some(some) = answer.body.next().await {
                bytes.extend_from_slice(&some.context("the object breaks off")?);
                anyhow::ensure!(bytes.len() as u64 <= MAX_PICTURE_BYTES, "it has more than {MAX_PICTURE_BYTES} bytes");
            }
            Ok(bytes)
        })
    }
}

impl Pictures for StoredPictures {
    fn bytes(&self, place: &str) -> Result<Vec<u8>, DatasetError> {
        let Some(uri) = place.strip_prefix("s3://") else { return LocalPictures.bytes(place) };
        let error = |reason: String| DatasetError::Picture { place: place.to_owned(), reason };
        match uri.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                self.object(bucket, key).map_err(|cause| error(format!("{cause:#}")))
            }
            _ => Err(error("s3://BUCKET/KEY works".to_owned())),
        }
    }
}
