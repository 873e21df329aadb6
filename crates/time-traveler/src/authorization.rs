//! How requests to a deployed API are authorized: signed with AWS credentials, or by a bearer token.

use std::time::SystemTime;

use anyhow::Context;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Request, Url};

/// The variable that holds a bearer token: not an option, since a command line can be read by others.
const TOKEN: &str = "TIME_TRAVELER_TOKEN";
/// The signing name of API Gateway.
const SERVICE: &str = "execute-api";

pub(crate) enum Authorization {
    /// Anybody may ask.
    None,
    /// Of Amazon Cognito or another issuer.
    Token(HeaderValue),
    /// Signature Version 4 with the credentials of the environment.
    Signed { credentials: SharedCredentialsProvider, region: String },
}

impl Authorization {
    /// What an API needs: the token if there is one, else a signature if `sign` names a region or API Gateway's own address does.
    pub(crate) async fn of(api: &Url, sign: Option<&str>) -> anyhow::Result<Self> {
        if let Some(token) = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
            return Self::token(&token);
        }
        let Some(region) = sign.map(str::to_owned).or_else(|| region(api)) else { return Ok(Self::None) };
        let config = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.clone())).load().await;
        let credentials = config.credentials_provider().context("AWS credentials are not to be had")?;
        Ok(Self::Signed { credentials, region })
    }

    fn token(token: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value =
            value.with_context(|| format!("{TOKEN} is no token: it has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok(Self::Token(value))
    }

    /// Adds what the API needs to a request that is complete otherwise.
    pub(crate) async fn authorize(&self, request: &mut Request) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Token(value) => {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                Ok(())
            }
            Self::Signed { credentials, region } => {
                let credentials = credentials.provide_credentials().await;
                let credentials = credentials
                    .with_context(|| format!("requests to {} are signed, for which there are no AWS credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, would work", request.url()))?;
                signed(request, credentials, region, SystemTime::now())
            }
        }
    }
}

/// The region of an address such as `https://{api}.execute-api.{region}.amazonaws.com/v1`.
fn region(api: &Url) -> Option<String> {
    let (_, rest) = api.host_str()?.split_once(".execute-api.")?;
    let (region, domain) = rest.split_once('.')?;
    matches!(domain, "amazonaws.com" | "amazonaws.com.cn").then(|| region.to_owned())
}

/// Signs a request (*Signature Version 4*, IAM User Guide).
fn signed(request: &mut Request, credentials: Credentials, region: &str, time: SystemTime) -> anyhow::Result<()> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
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

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn api_gateways_own_addresses_tell_the_region() {
        for (address, expected) in [
            ("https://a1b2c3.execute-api.eu-west-1.amazonaws.com/v1", Some("eu-west-1")),
            ("https://a1b2c3.execute-api.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("https://a1b2c3.execute-api.eu-west-1.amazonaws.com.example.org", None),
            ("https://portraits.example.org", None),
            ("http://127.0.0.1:8080", None),
        ] {
            assert_eq!(region(&url(address)).as_deref(), expected, "{address}");
        }
    }

    /// The signature of botocore 1.44.8 for the same request, credentials and time.
    #[test]
    fn a_signature_is_botocores() {
        let mut request = Request::new(
            reqwest::Method::PUT,
            url("https://a1b2c3.execute-api.eu-west-1.amazonaws.com/v1/images/ada?ages=20%2C40"),
        );
        *request.body_mut() = Some("photograph".into());
        request.headers_mut().insert("content-type", HeaderValue::from_static("image/jpeg"));
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        signed(&mut request, credentials, "eu-west-1", time).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("x-amz-date"), "20260921T141320Z");
        assert_eq!(header("x-amz-security-token"), "session");
        let signature = "4e6bd1d73e60b0f691df3b3a1f3616e8beae73965cd7f6ee4b4a7f1d21d970a0";
        assert!(header("authorization").ends_with(signature), "{}", header("authorization"));
    }

    #[tokio::test]
    async fn a_token_is_sent_as_it_is() {
        let mut request = Request::new(reqwest::Method::GET, url("https://example.org/jobs"));
        Authorization::token("abc\n").unwrap().authorize(&mut request).await.unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer abc");
        assert!(request.headers()["authorization"].is_sensitive());
        assert!(Authorization::token("a\nb").is_err());
    }
}
