//! Who asks: the claims of a token, as the gateway's authorizer has checked them.

use std::collections::HashMap;

use pipeline::Owner;
use serde::Deserialize;
use serde_json::Value;

/// The claim that names the caller.
const SUBJECT: &str = "sub";
/// The claim with the caller's groups in an Amazon Cognito user pool.
const GROUPS: &str = "cognito:groups";

/// The part of an event that the gateway itself writes (`requestContext`, payload format 2.0). Clients cannot.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RequestContext {
    #[serde(default)]
    authorizer: Option<Authorizer>,
}

#[derive(Debug, Deserialize)]
struct Authorizer {
    #[serde(default)]
    jwt: Option<Jwt>,
}

#[derive(Debug, Deserialize)]
struct Jwt {
    #[serde(default)]
    claims: HashMap<String, Value>,
}

/// Why a request is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallerError {
    /// The gateway has checked no token.
    #[error("the request has no token with a subject: portraits have owners here")]
    NoSubject,
    /// The caller names another owner, and may not.
    #[error("only a member of the group of administrators may name an owner")]
    NotAdmin,
}

impl RequestContext {
    /// The owner whose portraits a request is about: the caller. An administrator may name another subject.
    ///
    /// # Errors
    /// [`CallerError`]: there is no caller, or one who may not name others.
    pub(crate) fn owner(&self, named: Option<&str>, admin_group: &str) -> Result<Owner, CallerError> {
        let claims = self.authorizer.as_ref().and_then(|authorizer| authorizer.jwt.as_ref()).map(|jwt| &jwt.claims);
        let subject = claims.and_then(|claims| claims.get(SUBJECT)?.as_str()).filter(|subject| !subject.is_empty());
        let caller = Owner::of(subject.ok_or(CallerError::NoSubject)?);
        match named {
            None => Ok(caller),
            Some(_) if claims.and_then(|claims| claims.get(GROUPS)).is_some_and(|groups| has(groups, admin_group)) => {
                Ok(named.map_or(caller, Owner::of))
            }
            Some(_) => Err(CallerError::NotAdmin),
        }
    }
}

/// Whether a claim of groups has one. The gateway writes a list as one text: `[admins editors]`.
fn has(groups: &Value, group: &str) -> bool {
    match groups {
        Value::Array(groups) => groups.iter().any(|one| one == group),
        Value::String(text) => {
            let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            inner.split([' ', ',']).any(|one| one == group)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context(claims: Value) -> RequestContext {
        RequestContext::deserialize(json!({"authorizer": {"jwt": {"claims": claims}}, "requestId": "x"})).unwrap()
    }

    #[test]
    fn the_caller_is_the_subject_of_the_checked_token() {
        assert_eq!(context(json!({"sub": "ann"})).owner(None, "admins"), Ok(Owner::of("ann")));
        for nobody in [json!({}), json!({"sub": ""}), json!({"sub": 7}), json!({"username": "ann"})] {
            assert_eq!(context(nobody).owner(None, "admins"), Err(CallerError::NoSubject));
        }
        for nobody in [json!({}), json!({"authorizer": null}), json!({"authorizer": {"iam": {"userId": "ann"}}})] {
            let context = RequestContext::deserialize(nobody).unwrap();
            assert_eq!(context.owner(Some("ann"), "admins"), Err(CallerError::NoSubject));
        }
    }

    #[test]
    fn only_an_administrator_names_another_owner() {
        for groups in [json!("[admins]"), json!("[editors admins]"), json!("admins"), json!(["admins"])] {
            let context = context(json!({"sub": "ann", "cognito:groups": groups}));
            assert_eq!(context.owner(Some("bob"), "admins"), Ok(Owner::of("bob")), "{groups}");
            assert_eq!(context.owner(None, "admins"), Ok(Owner::of("ann")), "{groups}");
        }
        for groups in [json!("[no-admins]"), json!("[]"), json!("[admins-too editors]"), json!(null), json!(true)] {
            let context = context(json!({"sub": "ann", "cognito:groups": groups}));
            assert_eq!(context.owner(Some("bob"), "admins"), Err(CallerError::NotAdmin), "{groups}");
            // Not even oneself, so that nobody relies on it.
            assert_eq!(context.owner(Some("ann"), "admins"), Err(CallerError::NotAdmin), "{groups}");
        }
    }
}
