//! authorizer: says who asks, for a REST API whose tokens are of another issuer than an Amazon Cognito user pool.
//!
//! API Gateway calls it with the token of a request, keeps its answer for a minute, and writes the owner of the answer into the keys
//! of objects. It is a Lambda authorizer of the type `TOKEN`.

mod key_set;
mod settings;
mod token;

use std::sync::Arc;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use pipeline::Owner;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::chain;
use crate::{Clock, init_logging};

use key_set::KeySet;
pub use key_set::KeySetError;
pub use settings::IssuerSettings;
pub use token::Refusal;
use token::TokenError;

/// The function, ready to say who asks.
pub struct Authorizer {
    settings: IssuerSettings,
    keys: KeySet,
}

/// The fields that are used of an event of the type `TOKEN`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenEvent {
    authorization_token: String,
    method_arn: String,
}

/// The answer: what the caller may do, and who it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    principal_id: String,
    policy_document: Policy,
    context: Context,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    action: &'static str,
    effect: &'static str,
    resource: String,
}

/// What mappings of the API see as `context.authorizer.…`.
#[derive(Debug, Serialize)]
struct Context {
    /// The subject of the token as [`Owner`] spells it, which is how job-tracker spells it too.
    owner: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizerError {
    /// The token is refused. API Gateway then answers 401.
    #[error("the token is refused")]
    Refused(#[from] Refusal),
    /// The keys of the issuer cannot be had, so nothing is known of the token. API Gateway then answers 500.
    #[error("the keys of the issuer cannot be had")]
    Keys(#[from] KeySetError),
    /// The event is not one of a Lambda authorizer.
    #[error("the event is no request for an authorization")]
    Event(#[from] serde_json::Error),
    /// The ARN of the method is none.
    #[error("{0:?} is no ARN of a method: arn:aws:execute-api:region:account:api/stage/GET/path would work")]
    Method(String),
}

/// Runs the function with the settings of its environment until Lambda ends it.
///
/// # Errors
/// A setting is missing or cannot be used, or the connection to the Lambda runtime failed.
pub fn main() -> anyhow::Result<()> {
    init_logging();
    let authorizer = Arc::new(Authorizer::new(IssuerSettings::from_env()?, Clock::system())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let handler = service_fn(move |event: LambdaEvent<Value>| {
            let authorizer = Arc::clone(&authorizer);
            async move { authorizer.handle(event.payload).await }
        });
        lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!(error).context("the Lambda runtime failed"))
    })
}

impl Authorizer {
    /// The function for the tokens of an issuer.
    ///
    /// # Errors
    /// The HTTP client cannot start.
    pub fn new(settings: IssuerSettings, clock: Clock) -> Result<Self, reqwest::Error> {
        Ok(Self { keys: KeySet::new(settings.issuer.clone(), clock)?, settings })
    }

    /// Says who asks, and logs why not.
    ///
    /// # Errors
    /// [`AuthorizerError`]: the token is refused, or nothing can be said of it.
    pub async fn handle(&self, event: Value) -> Result<Authorization, AuthorizerError> {
        let answer = self.authorize(event).await;
        match &answer {
            Ok(_) => {}
            // A warning, since the function's alarm subtracts these lines: RUST_LOG may leave out `info`.
            Err(AuthorizerError::Refused(reason)) => tracing::warn!(%reason, "token refused"),
            Err(error) => tracing::error!(error = chain(error), "nothing can be said of the token"),
        }
        answer
    }

    async fn authorize(&self, event: Value) -> Result<Authorization, AuthorizerError> {
        let event = TokenEvent::deserialize(event)?;
        let token = event.authorization_token.trim();
        // As in an HTTP API, the word may be missing.
        let token = match token.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => token,
        };
        let stage = stage(&event.method_arn).ok_or_else(|| AuthorizerError::Method(event.method_arn.clone()))?;
        let subject = token::subject(token, &self.keys, &self.settings).await.map_err(|error| match error {
            TokenError::Refused(refusal) => AuthorizerError::from(refusal),
            TokenError::Keys(error) => AuthorizerError::from(error),
        })?;
        let owner = Owner::of(&subject).to_string();
        // API Gateway keeps the answer for the token, and uses it for the other paths of the stage too.
        let statement = Statement { action: "execute-api:Invoke", effect: "Allow", resource: format!("{stage}/*") };
        Ok(Authorization {
            principal_id: owner.clone(),
            policy_document: Policy { version: "2012-10-17", statement: [statement] },
            context: Context { owner },
        })
    }
}

/// The API and the stage of a method's ARN.
fn stage(method_arn: &str) -> Option<&str> {
    let (api, rest) = method_arn.split_once('/')?;
    let (stage, _) = rest.split_once('/')?;
    let is_one = api.starts_with("arn:") && api.split(':').nth(2) == Some("execute-api") && !stage.is_empty();
    is_one.then(|| &method_arn[..api.len() + 1 + stage.len()])
}

impl From<AuthorizerError> for Diagnostic {
    fn from(error: AuthorizerError) -> Self {
        // API Gateway answers 401 for this message alone, and 500 for any other.
        let (error_type, error_message) = match &error {
            AuthorizerError::Refused(_) => ("Unauthorized", "Unauthorized".to_owned()),
            AuthorizerError::Keys(_) => ("KeysUnavailable", chain(&error)),
            AuthorizerError::Event(_) | AuthorizerError::Method(_) => ("UnreadableEvent", chain(&error)),
        };
        Self { error_type: error_type.to_owned(), error_message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_everything_before_the_method() {
        let arn = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3/v1";
        for rest in ["/GET/images/ada/f9a7fc15f5e0/0.jpg", "/PUT/images/ada", "/GET/"] {
            assert_eq!(stage(&format!("{arn}{rest}")), Some(arn));
        }
        for bad in ["", arn, "a/b/c", "arn:aws:s3:::b/v1/GET", "arn:aws:execute-api:r:a:api//GET"] {
            assert_eq!(stage(bad), None, "{bad}");
        }
    }

    #[test]
    fn api_gateway_answers_401_for_a_refused_token_alone() {
        assert_eq!(Diagnostic::from(AuthorizerError::from(Refusal::Expired)).error_message, "Unauthorized");
        for error in [AuthorizerError::from(KeySetError::FailedBefore), AuthorizerError::Method("x".to_owned())] {
            assert_ne!(Diagnostic::from(error).error_message, "Unauthorized");
        }
    }
}
