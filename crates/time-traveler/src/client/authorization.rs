//! Authorization of requests to a deployed API: a signature by AWS credentials, or a bearer token.

use anyhow::{Context, ensure};
use aws_config::{BehaviorVersion, Region};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Url};

use super::signature::Signer;

/// The variable that holds the bearer token of the REST API. It is no option, since other users can read a command line.
const TOKEN: &str = "TIME_TRAVELER_TOKEN";
/// The variable that holds the bearer token of the HTTP API, where that has another address.
const JOBS_TOKEN: &str = "TIME_TRAVELER_JOBS_TOKEN";
/// The signing name of API Gateway.
const SERVICE: &str = "execute-api";

/// A bearer token of Amazon Cognito or another issuer.
#[derive(Clone, Debug)]
pub(crate) struct Token(HeaderValue);

impl Token {
    /// The token in a variable.
    pub(crate) fn new(variable: &str, token: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value
            .with_context(|| format!("{variable} is no token: it has characters that are not allowed in a header"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// The tokens of both APIs. Anybody who has a token can use it, so each goes to its own API only.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) images: Option<Token>,
    pub(crate) jobs: Option<Token>,
}

impl Tokens {
    /// The tokens in the variables of this process, for APIs at these addresses.
    pub(crate) fn of_environment(images: &Url, jobs: &Url) -> anyhow::Result<Self> {
        Self::read(images, jobs, |name| std::env::var(name).ok())
    }

    fn read(images: &Url, jobs: &Url, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let token = |name: &str| {
            let text = variable(name).filter(|text| !text.is_empty());
            text.map(|text| Token::new(name, &text)).transpose()
        };
        let (of_images, of_jobs) = (token(TOKEN)?, token(JOBS_TOKEN)?);
        if images.origin() == jobs.origin() {
            return Ok(Self { jobs: of_jobs.or_else(|| of_images.clone()), images: of_images });
        }
        ensure!(
            of_images.is_none() || of_jobs.is_some(),
            "{TOKEN} is for {images} only: set {JOBS_TOKEN} to the token for {jobs}, which may be the same"
        );
        Ok(Self { images: of_images, jobs: of_jobs })
    }
}

pub(crate) enum Authorization {
    /// The API is open.
    None,
    Token(Token),
    /// Signature Version 4 with the credentials of the environment.
    Signature(Signer),
}

impl Authorization {
    /// The authorization for an API: its token if there is one, else a signature if `sign` or API Gateway's own address names a
    /// region.
    pub(crate) async fn of(api: &Url, token: Option<Token>, sign: Option<&str>) -> anyhow::Result<Self> {
        if let Some(token) = token {
            return Ok(Self::Token(token));
        }
        let Some(region) = sign.map(str::to_owned).or_else(|| region(api)) else { return Ok(Self::None) };
        let config = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.clone())).load().await;
        Ok(Self::Signature(Signer::new(&config, SERVICE, region)?))
    }

    /// Adds the authorization to a request that is complete otherwise.
    pub(crate) async fn authorize(&self, request: &mut Request) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Token(Token(value)) => {
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
        Authorization::Token(Token::new(TOKEN, "abc\n").unwrap()).authorize(&mut request).await.unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer abc");
        assert!(request.headers()["authorization"].is_sensitive());
        assert!(Token::new(TOKEN, "a\nb").unwrap_err().to_string().starts_with(TOKEN));
    }

    #[test]
    fn a_token_goes_to_its_own_api_only() {
        let (here, there) = (url("https://a.example.org/v1"), url("https://b.example.org"));
        let read = |jobs: &Url, set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
            let tokens = Tokens::read(&here, jobs, variable).map_err(|error| error.to_string())?;
            let text = |token: Option<Token>| token.map(|Token(value)| value.to_str().unwrap().to_owned());
            Ok::<_, String>((text(tokens.images), text(tokens.jobs)))
        };
        let bearer = |token: &str| Some(format!("Bearer {token}"));
        assert_eq!(read(&here, &[]), Ok((None, None)));
        assert_eq!(read(&here, &[(TOKEN, "x")]), Ok((bearer("x"), bearer("x"))));
        assert_eq!(read(&there, &[(TOKEN, "x"), (JOBS_TOKEN, "y")]), Ok((bearer("x"), bearer("y"))));
        // The REST API is signed for then.
        assert_eq!(read(&there, &[(TOKEN, ""), (JOBS_TOKEN, "y")]), Ok((None, bearer("y"))));
        let refused = read(&there, &[(TOKEN, "x")]).unwrap_err();
        assert!(refused.contains("set TIME_TRAVELER_JOBS_TOKEN to the token for https://b.example.org/"), "{refused}");
    }
}
