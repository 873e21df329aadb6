//! Signature Version 4 (*IAM User Guide*) of HTTP requests.

use std::time::SystemTime;

use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::Request;
use reqwest::header::{HeaderName, HeaderValue};

use super::api::is_local;

/// Signs requests to one service in one region.
pub(super) struct Signer {
    credentials: SharedCredentialsProvider,
    /// The service's signing name, such as `execute-api`.
    service: &'static str,
    region: String,
}

impl Signer {
    /// A signer with the credentials of a configuration.
    pub(super) fn new(config: &SdkConfig, service: &'static str, region: String) -> anyhow::Result<Self> {
        let credentials = config.credentials_provider().context("no source of AWS credentials is configured")?;
        Ok(Self { credentials, service, region })
    }

    /// Adds the signature to a request that is complete otherwise.
    ///
    /// # Errors
    /// Where there are no credentials, or their session token would be readable on its way.
    pub(super) async fn sign(&self, request: &mut Request) -> anyhow::Result<()> {
        let credentials = self.credentials.provide_credentials().await.with_context(|| {
            format!(
                "requests to {} are signed, but there are no AWS credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, would work",
                request.url()
            )
        })?;
        let is_private = request.url().scheme() == "https" || is_local(request.url());
        ensure!(
            is_private || credentials.session_token().is_none(),
            "the session token of the AWS credentials would be readable on its way to {}, https would work",
            request.url()
        );
        signed(request, credentials, self.service, &self.region, SystemTime::now())
    }
}

fn signed(
    request: &mut Request,
    credentials: Credentials,
    service: &str,
    region: &str,
    time: SystemTime,
) -> anyhow::Result<()> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .context("a request cannot be signed")?;
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable =
        SignableRequest::new(request.method().as_str(), request.url().as_str(), headers, SignableBody::Bytes(body))?;
    let (instructions, _) = sign(signable, &parameters.into())?.into_parts();
    let (added, _) = instructions.into_parts();
    for header in added {
        let mut value = HeaderValue::from_str(header.value())?;
        value.set_sensitive(header.sensitive());
        request.headers_mut().insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The signature, under fixed credentials at a fixed time.
    fn signature(request: &mut Request, service: &str) -> String {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        signed(request, credentials, service, "eu-west-1", time).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("x-amz-date"), "20260921T141320Z");
        assert_eq!(header("x-amz-security-token"), "session");
        header("authorization").rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// botocore 1.43.11 signs the same requests, with the same credentials and time, by the same signatures.
    #[test]
    fn signatures_are_botocores() {
        let url = "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/v1/images/ada?ages=20%2C40";
        let mut put = Request::new(reqwest::Method::PUT, url.parse().unwrap());
        *put.body_mut() = Some("photograph".into());
        put.headers_mut().insert("content-type", HeaderValue::from_static("image/jpeg"));
        let expected = "4e6bd1d73e60b0f691df3b3a1f3616e8beae73965cd7f6ee4b4a7f1d21d970a0";
        assert_eq!(signature(&mut put, "execute-api"), expected);

        // An encoded colon is encoded once more in what is signed.
        let url = "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/image-processor%3Alive/invocations";
        let mut invoke = Request::new(reqwest::Method::POST, url.parse().unwrap());
        *invoke.body_mut() = Some("{}".into());
        invoke.headers_mut().insert("x-amz-invocation-type", HeaderValue::from_static("Event"));
        let expected = "199d9d19c726877d1dabcc33cae29628897a4ffbd2309eb3adc8f76f997d7881";
        assert_eq!(signature(&mut invoke, "lambda"), expected);
    }

    #[tokio::test]
    async fn a_session_token_goes_over_https_or_stays_on_this_machine() {
        let sign = async |url: &str, session: Option<&str>| {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", session.map(str::to_owned), None, "test");
            let credentials = SharedCredentialsProvider::new(credentials);
            let signer = Signer { credentials, service: "sqs", region: "eu-west-1".to_owned() };
            signer.sign(&mut Request::new(reqwest::Method::POST, url.parse().unwrap())).await
        };
        let refused = sign("http://sqs.example/", Some("session")).await.unwrap_err().to_string();
        assert!(refused.contains("https would work"), "{refused}");
        for (url, session) in
            [("http://sqs.example/", None), ("https://sqs.example/", Some("s")), ("http://127.0.0.1:4566/", Some("s"))]
        {
            sign(url, session).await.unwrap();
        }
    }
}
