use std::collections::HashMap;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use pipeline::Timestamp;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::Clock;

/// How long the connection to the issuer may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long one document may take, with its connection. Two of them fit into the function's timeout.
const DOCUMENT: Duration = Duration::from_secs(3);
/// The largest document, in bytes. A key set of ten RSA keys with their certificates has some 30 KB.
const MAX_DOCUMENT_BYTES: usize = 256 << 10;
/// How long keys are used without being fetched again. A key that the issuer withdraws works for as long.
const LIFETIME_SECONDS: i64 = 3600;
/// The shortest time between two fetches because of an unknown key. Anybody can name one.
const UNKNOWN_KEY_SECONDS: i64 = 30;
/// The shortest time between a fetch that failed and the next one.
const RETRY_SECONDS: i64 = 5;

/// The public keys of an issuer, found by OpenID Connect Discovery 1.0 and kept for an hour.
pub(super) struct KeySet {
    issuer: String,
    http: reqwest::Client,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Key>,
    fetched: Option<Timestamp>,
    failed: Option<Timestamp>,
}

/// A public RSA key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) public: DecodingKey,
    /// The only algorithm that the issuer uses the key with, where the set names one.
    pub(super) algorithm: Option<KeyAlgorithm>,
}

/// Why the keys of the issuer cannot be had. It is no fault of the token.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The issuer did not answer, or not in time.
    #[error("{url} did not answer within {} seconds", DOCUMENT.as_secs())]
    Unreachable {
        /// The address of the document.
        url: String,
        /// The error of the HTTP client.
        #[source]
        source: reqwest::Error,
    },
    /// The issuer answered with another status than 200. Redirects are not followed.
    #[error("{url} answered {status}: 200 would work")]
    Status {
        /// The address of the document.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The document is too large.
    #[error("{url} has more than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge {
        /// The address of the document.
        url: String,
    },
    /// The document is not what it has to be.
    #[error("{url} cannot be read")]
    Unreadable {
        /// The address of the document.
        url: String,
        /// The error of the parser.
        #[source]
        source: serde_json::Error,
    },
    /// The configuration is another issuer's.
    #[error(
        "{url} is the configuration of {found:?}, which is another issuer than JWT_ISSUER: the same spelling would work"
    )]
    OtherIssuer {
        /// The address of the configuration.
        url: String,
        /// The issuer that it names, or the beginning of its name.
        found: String,
    },
    /// The set has no key that can be used.
    #[error("{url} has no RSA key for signatures with an id: RS256 would work")]
    NoKeys {
        /// The address of the key set.
        url: String,
    },
    /// The last fetch failed a moment ago.
    #[error("the issuer failed less than {RETRY_SECONDS} seconds ago")]
    FailedBefore,
}

/// The members that are used of the issuer's configuration (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// A JSON Web Key Set (RFC 7517, section 5). Keys of kinds that are not known here are left out, as the RFC says.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<Value>,
}

impl KeySet {
    /// The keys of this issuer. Nothing is fetched before a key is asked for.
    ///
    /// # Errors
    /// The HTTP client cannot start.
    pub(super) fn new(issuer: String, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // The set of an issuer by https comes by https, whatever its configuration says.
            .https_only(issuer.starts_with("https:"))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(DOCUMENT)
            .build()?;
        Ok(Self { issuer, http, clock, state: Mutex::default() })
    }

    /// The key with this id; `None`: the issuer has none.
    ///
    /// # Errors
    /// [`KeySetError`]: the keys cannot be had.
    pub(super) async fn key(&self, id: &str) -> Result<Option<Key>, KeySetError> {
        // Requests that come meanwhile wait for the same fetch.
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        let is_within =
            |since: Option<Timestamp>, seconds| since.is_some_and(|since| now < since.plus_seconds(seconds));
        if is_within(state.fetched, LIFETIME_SECONDS) {
            if let Some(key) = state.keys.get(id) {
                return Ok(Some(key.clone()));
            }
            if is_within(state.fetched, UNKNOWN_KEY_SECONDS) {
                return Ok(None);
            }
        }
        if is_within(state.failed, RETRY_SECONDS) {
            return Err(KeySetError::FailedBefore);
        }
        match self.fetch().await {
            Ok(keys) => *state = State { keys, fetched: Some(now), failed: None },
            Err(error) => {
                state.failed = Some(self.clock.now());
                return Err(error);
            }
        }
        Ok(state.keys.get(id).cloned())
    }

    async fn fetch(&self) -> Result<HashMap<String, Key>, KeySetError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Configuration = self.read(&url).await?;
        if configuration.issuer != self.issuer {
            return Err(KeySetError::OtherIssuer { url, found: configuration.issuer.chars().take(200).collect() });
        }
        let url = configuration.jwks_uri;
        let set: Keys = self.read(&url).await?;
        let keys: HashMap<String, Key> = set.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoKeys { url });
        }
        tracing::info!(keys = keys.len(), "fetched the keys of the issuer");
        Ok(keys)
    }

    /// A document of the issuer.
    async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, KeySetError> {
        let unreachable = |source| KeySetError::Unreachable { url: url.to_owned(), source };
        let mut answer = self.http.get(url).send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(KeySetError::Status { url: url.to_owned(), status: answer.status() });
        }
        let mut document = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(unreachable)? {
            if document.len() + part.len() > MAX_DOCUMENT_BYTES {
                return Err(KeySetError::TooLarge { url: url.to_owned() });
            }
            document.extend_from_slice(&part);
        }
        serde_json::from_slice(&document).map_err(|source| KeySetError::Unreadable { url: url.to_owned(), source })
    }
}

/// A key with its id, if tokens can be verified with it.
fn usable(key: Value) -> Option<(String, Key)> {
    let key = Jwk::deserialize(key).ok()?;
    let signs = key.common.public_key_use.as_ref().is_none_or(|kind| *kind == PublicKeyUse::Signature);
    if !signs || !matches!(key.algorithm, AlgorithmParameters::RSA(_)) {
        return None;
    }
    let public = DecodingKey::from_jwk(&key).ok()?;
    Some((key.common.key_id?, Key { public, algorithm: key.common.key_algorithm }))
}

impl Key {
    /// Whether the issuer signs with the key by this algorithm.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == KeyAlgorithm::from(algorithm))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_set_of_an_issuer_by_https_comes_by_https() {
        let set = KeySet::new("https://issuer.example.com".to_owned(), Clock::system()).unwrap();
        // Nothing listens there, and nothing is tried: the address alone is refused.
        let error = set.read::<Value>("http://127.0.0.1:9/keys").await.unwrap_err();
        let KeySetError::Unreachable { source, .. } = error else { panic!("{error}") };
        assert!(source.is_builder(), "{source:?}");
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let rsa = json!({"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"});
        let with = |name: &str, value: Value| {
            let mut key = rsa.clone();
            key[name] = value;
            key
        };
        assert_eq!(usable(rsa.clone()).map(|(id, _)| id).as_deref(), Some("a"));
        assert!(usable(with("use", json!("sig"))).is_some());
        for bad in [
            with("use", json!("enc")),
            with("kid", Value::Null),
            with("n", json!("*")),
            json!({"kty": "oct", "kid": "a", "k": "AQAB"}),
            json!({"kty": "EC", "kid": "a", "crv": "P-256", "x": "AQAB", "y": "AQAB"}),
            json!({"kty": "EC", "kid": "a", "crv": "secp256k1", "x": "AQAB", "y": "AQAB"}),
            json!({"kty": "new", "kid": "a"}),
            json!(7),
        ] {
            assert!(usable(bad.clone()).is_none(), "{bad}");
        }
        let (_, key) = usable(with("alg", json!("RS512"))).unwrap();
        assert!(key.is_for(Algorithm::RS512) && !key.is_for(Algorithm::RS256));
    }
}
