//! An issuer of tokens on this machine: its two documents, and keys of its own.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaPublicKeyComponents};
use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Two keys; making one takes a moment.
static KEYS: LazyLock<[KeyPair; 2]> = LazyLock::new(|| [0; 2].map(|_| KeyPair::generate(KeySize::Rsa2048).unwrap()));

/// What the issuer does when a document is asked for.
#[derive(Clone)]
pub(crate) enum Answer {
    Body(u16, Vec<u8>),
    Redirect(String),
    /// It takes the request, and says nothing.
    Silence,
}

pub(crate) struct Documents {
    pub(crate) configuration: Answer,
    pub(crate) keys: Answer,
    /// How often the keys were asked for.
    pub(crate) asked: usize,
}

/// A server that is there as long as this value.
pub(crate) struct Issuer {
    pub(crate) name: String,
    documents: Arc<Mutex<Documents>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Issuer {
    /// An issuer that signs with its first key, `one`.
    pub(crate) async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let name = format!("http://{}/tenant", listener.local_addr().unwrap());
        let keys = json(&json!({"keys": [{"kty": "new"}, public("one", 0)]}));
        let configuration = json(&json!({"issuer": name, "jwks_uri": format!("{name}/keys")}));
        let documents = Arc::new(Mutex::new(Documents { configuration, keys, asked: 0 }));
        let shared = Arc::clone(&documents);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { name, documents, server }
    }

    pub(crate) fn documents(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap()
    }

    /// The claims of a good token.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({"sub": subject, "iss": self.name, "aud": "portraits", "iat": now, "exp": now + 600})
    }

    /// A good token of this subject.
    pub(crate) fn token(&self, subject: &str) -> String {
        signed("one", 0, &self.claims(subject))
    }
}

async fn serve(mut stream: TcpStream, documents: Arc<Mutex<Documents>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let answer = {
        let mut documents = documents.lock().unwrap();
        match request.split(' ').nth(1).unwrap() {
            "/tenant/.well-known/openid-configuration" => documents.configuration.clone(),
            "/tenant/keys" => {
                documents.asked += 1;
                documents.keys.clone()
            }
            other => Answer::Body(404, other.as_bytes().to_vec()),
        }
    };
    let (head, body) = match answer {
        Answer::Body(status, body) => (format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len()), body),
        Answer::Redirect(to) => (format!("HTTP/1.1 302 x\r\nlocation: {to}\r\ncontent-length: 0\r\n"), Vec::new()),
        Answer::Silence => return std::future::pending().await,
    };
    // A client that has read enough closes the connection.
    let _ = stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await;
    let _ = stream.write_all(&body).await;
}

pub(crate) fn json(document: &Value) -> Answer {
    Answer::Body(200, document.to_string().into_bytes())
}

/// The public half of a key, in a set of keys.
pub(crate) fn public(id: &str, key: usize) -> Value {
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(KEYS[key].public_key());
    let [n, e] = [public.n, public.e].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({"kty": "RSA", "use": "sig", "kid": id, "n": n, "e": e})
}

/// A token by a key, which its header calls `id`.
pub(crate) fn signed(id: &str, key: usize, claims: &Value) -> String {
    signed_by(&json!({"alg": "RS256", "typ": "JWT", "kid": id}), key, claims)
}

/// A token with this header. `RS512` is signed as such, and everything else by RS256.
pub(crate) fn signed_by(header: &Value, key: usize, claims: &Value) -> String {
    let encoding: &'static dyn RsaEncoding =
        if header["alg"] == "RS512" { &RSA_PKCS1_SHA512 } else { &RSA_PKCS1_SHA256 };
    token(header, claims, |message| {
        let mut signature = vec![0; KEYS[key].public_modulus_len()];
        KEYS[key].sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    })
}

/// A token whose secret is the public key, which everybody knows.
pub(crate) fn signed_by_public_key(claims: &Value) -> String {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, KEYS[0].public_key().as_ref());
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "one"});
    token(&header, claims, |message| hmac::sign(&secret, message).as_ref().to_vec())
}

/// A token whose signature is made by `sign` of header and claims.
pub(crate) fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}
