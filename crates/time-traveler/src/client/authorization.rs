//! Authorization of requests to a deployed API: a signature by AWS credentials, or a bearer token.

use anyhow::Context;
use aws_config::{BehaviorVersion, Region};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Url};

use super::signature::Signer;

/// The variable that holds a bearer token. It is no option, since other users can read a command line.
const TOKEN: &str = "TIME_TRAVELER_TOKEN";
/// The signing name of API Gateway.
const SERVICE: &str = "execute-api";

pub(crate) enum Authorization {
    /// The API is open.
    None,
    /// A token of Amazon Cognito or another issuer.
    Token(HeaderValue),
    /// Signature Version 4 with the credentials of the environment.
    Signature(Signer),
}

impl Authorization {
    /// The authorization for an API: the token if there is one, else a signature if `sign` or API Gateway's own address names a
    /// region.
    pub(crate) async fn of(api: &Url, sign: Option<&str>) -> anyhow::Result<Self> {
        if let Some(token) = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
            return Self::token(&token);
        }
        let Some(region) = sign.map(str::to_owned).or_else(|| region(api)) else { return Ok(Self::None) };
        let config = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.clone())).load().await;
        Ok(Self::Signature(Signer::new(&config, SERVICE, region)?))
    }

    fn token(token: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value
            .with_context(|| format!("{TOKEN} is no token: it has characters that are not allowed in a header"))?;
        value.set_sensitive(true);
        Ok(Self::Token(value))
    }

    /// Adds the authorization to a request that is complete otherwise.
    pub(crate) async fn authorize(&self, request: &mut Request) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Token(value) => {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                Ok(())
            }
            Self::Signature(signer) => signer.sign(request).await,
        }
    }
}

/// The region of an address such as `https://{api}.execute-api.{region}.amazonaws.com/v1`.
fn region(api: &Url) -> Option<String> {
    let (_, rest) = api.host_str()?.split_once(".execute-api.")?;
    let (region, domain) = rest.split_once('.')?;
    matches!(domain, "amazonaws.com" | "amazonaws.com.cn").then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn api_gateways_own_addresses_name_the_region() {
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

    #[tokio::test]
    async fn a_token_is_sent_unchanged() {
        let mut request = Request::new(reqwest::Method::GET, url("https://example.org/jobs"));
        Authorization::token("abc\n").unwrap().authorize(&mut request).await.unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer abc");
        assert!(request.headers()["authorization"].is_sensitive());
        assert!(Authorization::token("a\nb").is_err());
    }
}
