//! Bearer tokens for the gateway, as an identity provider issues them: JSON Web Tokens (RFC 7519) signed by HMAC-SHA256, `HS256` of
//! RFC 7518, section 3.2. The key is in the data folder, so that only its user can issue tokens.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::data_folder;
use crate::error::CloudError;

/// The file of the key, in the data folder.
const FILE: &str = "token-key";
/// The header of every token.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// `iss` of every token.
const ISSUER: &str = "local";

/// Issues and checks tokens.
#[derive(Clone)]
pub struct Tokens(Vec<u8>);

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is no token of this kind.
    #[error("it is no JSON Web Token signed by HS256")]
    Form,
    /// Its signature is not of this key.
    #[error("its signature is not of this cloud's key")]
    Signature,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
}

/// The claims that every token has.
#[derive(Deserialize)]
struct Checked {
    iss: String,
    exp: i64,
}

impl Tokens {
    /// The tokens of a data folder, which is made with a new key if it is not there.
    ///
    /// # Errors
    /// [`CloudError::DataFolder`]: folder or file cannot be read or written.
    pub fn open(data: &Path) -> Result<Self, CloudError> {
        let path = data.join(FILE);
        Self::key(data, &path).map(Self).map_err(|source| CloudError::DataFolder { path, source })
    }

    fn key(data: &Path, path: &Path) -> io::Result<Vec<u8>> {
        data_folder::create(data)?;
        let mut options = File::options();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut file) => {
                let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
                file.write_all(key.as_bytes())?;
                Ok(key.into_bytes())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let key = fs::read(path)?;
                // An empty key would accept tokens that anybody can make.
                let is_whole = key.len() >= 32;
                is_whole.then_some(key).ok_or_else(|| io::Error::other("it is too short: delete it, and start again"))
            }
            Err(error) => Err(error),
        }
    }

    /// A token with a subject and groups, for some seconds from `now`, in seconds since 1970.
    pub fn issue(&self, subject: &str, groups: &[String], now: i64, seconds: i64) -> String {
        let mut claims = json!({"sub": subject, "iss": ISSUER, "iat": now, "exp": now.saturating_add(seconds)});
        if !groups.is_empty() {
            claims["cognito:groups"] = json!(groups);
        }
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// The claims of a token.
    ///
    /// # Errors
    /// [`TokenError`]: it is not of this key, or its time is over.
    pub(crate) fn claims(&self, token: &str, now: i64) -> Result<Map<String, Value>, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
        // No other algorithm is read, `none` least of all.
        if header != URL_SAFE_NO_PAD.encode(HEADER) {
            return Err(TokenError::Form);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Form)?;
        self.mac(signed).verify_slice(&signature).map_err(|_| TokenError::Signature)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Form)?;
        let claims: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_| TokenError::Form)?;
        let checked = Checked::deserialize(Value::Object(claims.clone())).map_err(|_| TokenError::Form)?;
        match checked {
            Checked { iss, .. } if iss != ISSUER => Err(TokenError::Form),
            Checked { exp, .. } if exp <= now => Err(TokenError::Expired),
            _ => Ok(claims),
        }
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
        mac.update(signed.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_its_key_and_time() {
        let [one, other] = [Tokens(vec![1; 32]), Tokens(vec![2; 32])];
        let token = one.issue("ann", &["admins".to_owned()], 1000, 60);
        let claims = one.claims(&token, 1059).unwrap();
        assert_eq!((&claims["sub"], &claims["cognito:groups"]), (&json!("ann"), &json!(["admins"])));
        assert_eq!(one.claims(&token, 1060), Err(TokenError::Expired));
        assert_eq!(other.claims(&token, 1000), Err(TokenError::Signature));
    }

    #[test]
    fn a_token_cannot_be_altered() {
        let tokens = Tokens(vec![1; 32]);
        let token = tokens.issue("ann", &[], 1000, 60);
        let parts: Vec<&str> = token.split('.').collect();
        let claims = |claims: Value| URL_SAFE_NO_PAD.encode(claims.to_string());
        let other = claims(json!({"sub": "bob", "iss": ISSUER, "exp": 2000}));
        assert_eq!(tokens.claims(&format!("{}.{other}.{}", parts[0], parts[2]), 1000), Err(TokenError::Signature));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for bad in
            ["", ".", "..", "a.b.c", parts[0], &format!("{none}.{other}."), &format!("{none}.{other}.{}", parts[2])]
        {
            assert_eq!(tokens.claims(bad, 1000), Err(TokenError::Form), "{bad}");
        }
        // Even a signed one needs an issuer and an end.
        for lacking in [json!({"sub": "ann", "exp": 2000}), json!({"sub": "ann", "iss": ISSUER}), json!([])] {
            let signed = format!("{}.{}", parts[0], claims(lacking));
            let signature = URL_SAFE_NO_PAD.encode(tokens.mac(&signed).finalize().into_bytes());
            assert_eq!(tokens.claims(&format!("{signed}.{signature}"), 1000), Err(TokenError::Form));
        }
    }

    #[test]
    fn the_key_is_kept_in_the_data_folder() {
        let data = tempfile::tempdir().unwrap();
        let token = Tokens::open(&data.path().join("new")).unwrap().issue("ann", &[], 1000, 60);
        assert!(Tokens::open(&data.path().join("new")).unwrap().claims(&token, 1000).is_ok());
        assert_eq!(Tokens::open(data.path()).unwrap().claims(&token, 1000), Err(TokenError::Signature));
        fs::write(data.path().join(FILE), "").unwrap();
        assert!(Tokens::open(data.path()).is_err());
    }
}
