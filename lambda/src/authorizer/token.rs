use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::key_set::{KeySet, KeySetError};
use super::settings::IssuerSettings;

/// The algorithms that the JWT authorizer of an HTTP API takes ("only RSA-based algorithms", in API Gateway's guide): both APIs take the
/// same tokens.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
/// How far the clock of the issuer may differ.
const LEEWAY_SECONDS: u64 = 30;

/// Why a token is refused. No variant has a part of the token, since lines of the log name the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no token with a readable header.
    #[error("it is no JSON Web Token")]
    NoToken,
    /// Its signature is of another kind.
    #[error("its algorithm is none of RS256, RS384 and RS512, or is not its key's")]
    Algorithm,
    /// Its header names no key.
    #[error("its header names no key")]
    NoKeyId,
    /// The issuer has no such key.
    #[error("the issuer has no key with its key's id")]
    UnknownKey,
    /// The signature is not by the issuer's key.
    #[error("its signature is wrong")]
    Signature,
    /// A claim that has to be there is missing, or is not of its type.
    #[error("its claims lack {0}, or it has the wrong type")]
    Claim(String),
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    Early,
    /// It is another issuer's.
    #[error("its issuer is another one than JWT_ISSUER")]
    Issuer,
    /// It is for another audience.
    #[error("its audience is another one than JWT_AUDIENCE")]
    Audience,
}

/// Why nothing can be said for a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The token is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Whether it is good cannot be found out.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    iss: String,
    aud: Option<Value>,
    client_id: Option<String>,
}

/// The subject of a token (RFC 7519), after its signature and its claims `iss`, `aud`, `exp` and `nbf` were found good.
///
/// # Errors
/// [`TokenError`]: the token is refused, or the keys of its issuer cannot be had.
pub(super) async fn subject(token: &str, keys: &KeySet, wanted: &IssuerSettings) -> Result<String, TokenError> {
    // The header is not checked yet: it only says by which of the issuer's keys the signature has to be.
    let header = decode_header(token).map_err(|_| Refusal::NoToken)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refusal::Algorithm.into());
    }
    let id = header.kid.ok_or(Refusal::NoKeyId)?;
    let key = keys.key(&id).await?.ok_or(Refusal::UnknownKey)?;
    if !key.is_for(header.alg) {
        return Err(Refusal::Algorithm.into());
    }
    let mut rules = Validation::new(header.alg);
    rules.leeway = LEEWAY_SECONDS;
    rules.validate_nbf = true;
    rules.set_required_spec_claims(&["exp", "iss", "sub"]);
    rules.set_issuer(&[&wanted.issuer]);
    rules.set_audience(&[&wanted.audience]);
    let claims = decode::<Claims>(token, &key.public, &rules).map_err(|error| refusal(error.kind()))?.claims;
    // A list of issuers would do for the library.
    if claims.iss != wanted.issuer {
        return Err(Refusal::Issuer.into());
    }
    // As API Gateway does it: `client_id` counts only where there is no `aud`.
    if claims.aud.is_none() && claims.client_id.as_ref() != Some(&wanted.audience) {
        return Err(Refusal::Audience.into());
    }
    let subject = claims.sub.filter(|subject| !subject.is_empty());
    Ok(subject.ok_or_else(|| Refusal::Claim("sub".to_owned()))?)
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::Early,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => Refusal::Claim(name.clone()),
        _ => Refusal::NoToken,
    }
}
