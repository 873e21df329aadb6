//! The address of an API, and requests to it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, Url};

use super::authorization::{Authorization, Token};
use crate::escape;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The address of an API, and how requests to it are authorized.
pub(super) struct Api {
    url: Url,
    /// Whether it is an address of this machine.
    pub(super) is_local: bool,
    authorization: Authorization,
    pub(super) http: reqwest::Client,
}

/// The URL in an option.
pub(super) fn parsed(option: &str, address: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse(address).with_context(|| format!("{option} {address:?} is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{option} {address:?} is no http or https URL");
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Whether a URL's host is this machine's loopback interface.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A client for requests to a URL's host. It follows no redirect: photographs and tokens go where the user sends them.
pub(super) fn http(url: &Url) -> anyhow::Result<reqwest::Client> {
    // API Gateway's REST APIs compare the names of headers by case, and the template says `Range`. HTTP/2 has lower case only.
    let builder = reqwest::Client::builder().http1_only().http1_title_case_headers();
    let builder = builder.connect_timeout(CONNECT).redirect(Policy::none());
    // A proxy cannot reach this machine's loopback interface.
    let builder = if is_local(url) { builder.no_proxy() } else { builder };
    builder.build().context("the HTTP client cannot start")
}

impl Api {
    /// # Errors
    /// Where the authorization would be readable on its way.
    pub(super) async fn new(option: &str, url: Url, token: Option<Token>, sign: Option<&str>) -> anyhow::Result<Self> {
        let is_local = is_local(&url);
        let authorization = Authorization::of(&url, token, sign).await?;
        ensure!(
            url.scheme() == "https" || is_local || matches!(authorization, Authorization::None),
            "{option} {url}: a token or a signature would be readable on its way to this address, https would work"
        );
        let http = http(&url)?;
        Ok(Self { url, is_local, authorization, http })
    }

    /// The URL of a path of this API. The path begins with `/`, and may come from an answer.
    ///
    /// # Errors
    /// Where the path leads out of the API.
    pub(super) fn at(&self, path: &str) -> anyhow::Result<Url> {
        let base = self.url.path().trim_end_matches('/').to_owned();
        let mut url = self.url.clone();
        url.set_path(&format!("{base}{path}"));
        let is_inside = path.starts_with('/') && url.path().starts_with(&format!("{base}/"));
        ensure!(
            is_inside,
            "the path {:?} is none of {}: one that begins with / would work",
            escape::line(path),
            self.url
        );
        Ok(url)
    }

    /// Authorizes a request and sends it.
    pub(super) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let mut request = request.build()?;
        self.authorization.authorize(&mut request).await?;
        self.http.execute(request).await.with_context(|| self.unreachable())
    }

    fn unreachable(&self) -> String {
        let question = if self.is_local { ": is `time-traveler up` running?" } else { "" };
        format!("{} cannot be reached{question}", self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(address: &str) -> Api {
        let url = parsed("--api", address).unwrap();
        Api { is_local: is_local(&url), http: http(&url).unwrap(), authorization: Authorization::None, url }
    }

    #[test]
    fn paths_stay_in_the_api() {
        let api = api("https://a1b2c3.execute-api.eu-west-1.amazonaws.com/v1/");
        let base = "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/v1";
        for (path, url) in [
            ("/images/ada/f9a7fc15f5e0/0.jpg", "/images/ada/f9a7fc15f5e0/0.jpg"),
            ("//evil.example/0.jpg", "//evil.example/0.jpg"),
            ("/a?b#c", "/a%3Fb%23c"),
            ("/a/../b", "/b"),
        ] {
            assert_eq!(api.at(path).unwrap().as_str(), format!("{base}{url}"));
        }
        for path in [
            "@evil.example/0.jpg",
            ".evil.example/",
            ":80@evil.example/",
            "",
            "0.jpg",
            "/../v2/x",
            "/%2e%2e/x",
            "/..\\x",
        ] {
            let error = api.at(path).unwrap_err().to_string();
            assert!(error.contains("begins with /"), "{path}: {error}");
        }
    }

    /// API Gateway takes the header that `infra/template.yaml` names, and no other spelling of it.
    #[tokio::test]
    async fn headers_are_written_as_the_template_names_them() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = api(&format!("http://{}", listener.local_addr().unwrap()));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(head).unwrap()
        });
        let request = api.http.get(api.at("/images/ada/f9a7fc15f5e0/strip.npy").unwrap());
        api.send(request.header("range", "bytes=0-99").header("if-match", "\"a\"")).await.unwrap();
        let head = server.await.unwrap();
        let template = include_str!("../../../../infra/template.yaml");
        let named = template.lines().filter_map(|line| line.trim().strip_prefix("method.request.header."));
        let named: Vec<&str> = named.filter_map(|name| name.strip_suffix(": false")).collect();
        assert!(named.contains(&"Range") && named.contains(&"If-Match"), "{named:?}");
        for name in ["Range", "If-Match"] {
            assert!(head.contains(&format!("\r\n{name}: ")), "{head}");
        }
    }

    #[test]
    fn only_loopback_is_local() {
        for (address, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.1.2.3", true),
            ("http://localhost:1", true),
            ("http://[::1]:1", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://192.168.0.1", false),
        ] {
            assert_eq!(is_local(&address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn nothing_secret_goes_over_http_to_another_machine() {
        let token = || Some(Token::new("TIME_TRAVELER_TOKEN", "e30.e30.x").unwrap());
        let url = |address: &str| parsed("--api", address).unwrap();
        for (address, token, sign) in
            [("http://portraits.example", token(), None), ("http://portraits.example", None, Some("eu-west-1"))]
        {
            let Err(error) = Api::new("--api", url(address), token, sign).await else { panic!("{address}") };
            assert!(error.to_string().contains("https would work"), "{error}");
        }
        for address in ["https://portraits.example", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(Api::new("--api", url(address), token(), None).await.is_ok(), "{address}");
        }
        assert!(Api::new("--api", url("http://portraits.example"), None, None).await.is_ok());
    }
}
