//! The authorizer of both APIs: who asks, by a bearer token.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::path::Template;
use crate::clock::now_millis;
use crate::stack::{Authorizer, Refusal};
use crate::tokens::Tokens;

/// Lets requests with a token in.
pub(super) struct Gate {
    authorizer: Authorizer,
    tokens: Tokens,
}

/// Who asks. By default nobody in particular: the APIs are open.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// The id of the request.
    pub(super) request: String,
    claims: Option<Map<String, Value>>,
    names: BTreeMap<String, String>,
}

impl Gate {
    pub(super) fn new(authorizer: Authorizer, tokens: Tokens) -> Self {
        Self { authorizer, tokens }
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// 401: it has no token of this cloud, more than one, or one whose time is over.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return Err(refusal()) };
        let value = value.to_str().map_err(|_| refusal())?;
        // Both kinds of API take a token with or without the name of its scheme.
        let token = match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) => return Err(refusal()),
            None => value,
        };
        let claims = self.tokens.claims(token, now_millis() / 1000).map_err(|error| {
            tracing::debug!(%error, "a token is refused");
            refusal()
        })?;
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let spelled = (self.authorizer.spelling)(subject.ok_or_else(refusal)?);
        Ok(Caller {
            names: BTreeMap::from([(self.authorizer.name.clone(), spelled)]),
            claims: Some(claims),
            ..Caller::default()
        })
    }
}

/// API Gateway says no more, so that nobody learns what a token lacks.
fn refusal() -> Refusal {
    Refusal { status: StatusCode::UNAUTHORIZED, body: json!({"message": "Unauthorized"}) }
}

/// The answer to a request without a token that is accepted.
pub(super) fn refused(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

impl Caller {
    /// A template of a key with the caller's names replaced.
    pub(super) fn fill(&self, template: &str) -> String {
        Template::fill(template, &self.names)
    }

    /// The claims of the token, as functions get them: API Gateway writes a list as a text, `[one two]`.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let parts: Vec<String> =
                    parts.iter().map(|part| part.as_str().unwrap_or_default().to_owned()).collect();
                format!("[{}]", parts.join(" "))
            }
            other => other.to_string(),
        };
        let claims = self.claims.as_ref()?.iter();
        Some(claims.map(|(name, value)| (name.clone(), text(value).into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(data: &std::path::Path) -> Gate {
        let authorizer = Authorizer { name: "caller".to_owned(), spelling: str::to_uppercase };
        Gate::new(authorizer, Tokens::open(data).unwrap())
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_caller_is_named_by_the_token_alone() {
        let data = tempfile::tempdir().unwrap();
        let gate = gate(data.path());
        let token = gate.tokens.issue("ann", &["a".to_owned(), "b".to_owned()], now_millis() / 1000, 60);
        for given in [token.clone(), format!("Bearer {token}"), format!("bearer {token}")] {
            let caller = gate.admit(&headers(&[&given])).unwrap();
            assert_eq!(caller.fill("{caller}/{id}"), "ANN/{id}");
            let claims = caller.claims().unwrap();
            assert_eq!((&claims["sub"], &claims["cognito:groups"]), (&json!("ann"), &json!("[a b]")));
            assert!(claims.values().all(Value::is_string), "{claims:?}");
        }
    }

    #[test]
    fn nobody_gets_in_without_one_token() {
        let data = tempfile::tempdir().unwrap();
        let gate = gate(data.path());
        let now = now_millis() / 1000;
        let (token, late) = (gate.tokens.issue("ann", &[], now, 60), gate.tokens.issue("ann", &[], now - 100, 60));
        let nobody = gate.tokens.issue("", &[], now, 60);
        for given in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &[&format!("Basic {token}")],
            &[&token, &token],
            &[&late],
            &[&nobody],
            &[&format!("{token}x")],
        ] {
            let refusal = gate.admit(&headers(given)).unwrap_err();
            assert_eq!(
                (refusal.status, &refusal.body),
                (StatusCode::UNAUTHORIZED, &json!({"message": "Unauthorized"}))
            );
        }
        let answer = refused(refusal());
        assert_eq!(answer.status().as_u16(), 401);
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
}
