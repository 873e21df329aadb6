//! IAM, as far as SDKs ask before they use another service. There are no permissions here: every role exists, and may do everything.

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::ACCOUNT;
use crate::aws_error::{query_error, query_not_implemented};
use crate::query::{Query, answer, element};

const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
/// What the description of a role says.
const DESCRIPTION: &str = "The local cloud has no permissions: every role exists.";

pub(crate) async fn call(request: Request) -> Response {
    let query = match Query::read(request).await {
        Ok(query) => query,
        Err(refusal) => return refusal,
    };
    match query.action() {
        action @ "GetRole" => match query.field("RoleName").filter(|name| is_role(name)) {
            Some(name) => answer(action, NAMESPACE, &role(name)),
            None => refusal("RoleName must be 1 to 64 characters out of letters, digits and _+=,.@-"),
        },
        action @ "SimulatePrincipalPolicy" => {
            let actions = query.members("ActionNames");
            if actions.is_empty() {
                return refusal("ActionNames must have a member");
            }
            answer(action, NAMESPACE, &evaluations(&actions))
        }
        other => query_not_implemented(&format!("IAM: {other}")),
    }
}

fn is_role(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn role(name: &str) -> String {
    // SageMaker's SDK refuses a role that SageMaker may not assume.
    let statement =
        json!({"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let members = [
        ("Path", "/"),
        ("RoleName", name),
        ("RoleId", "AROALOCALCLOUD0000000"),
        ("Arn", &format!("arn:aws:iam::{ACCOUNT}:role/{name}")),
        ("CreateDate", "2026-01-01T00:00:00Z"),
        ("AssumeRolePolicyDocument", &url_encoded(&policy)),
        ("Description", DESCRIPTION),
        ("MaxSessionDuration", "3600"),
    ];
    let members: String = members.iter().map(|(name, text)| element(name, text)).collect();
    format!("<Role>{members}</Role>")
}

fn evaluations(actions: &[&str]) -> String {
    let evaluation = |action: &&str| {
        let members = [("EvalActionName", *action), ("EvalResourceName", "*"), ("EvalDecision", "allowed")];
        let members: String = members.iter().map(|(name, text)| element(name, text)).collect();
        format!("<member>{members}</member>")
    };
    let all: String = actions.iter().map(evaluation).collect();
    format!("<EvaluationResults>{all}</EvaluationResults><IsTruncated>false</IsTruncated>")
}

fn refusal(message: &str) -> Response {
    query_error(StatusCode::BAD_REQUEST, "ValidationError", message)
}

/// A text as IAM encodes policy documents: RFC 3986.
fn url_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_names_of_iam_and_policies_are_encoded() {
        assert!(is_role("sagemaker-ds") && is_role("A_b+=,.@-9"));
        assert!(!is_role("") && !is_role("a b") && !is_role("a/b") && !is_role(&"x".repeat(65)));
        assert_eq!(url_encoded("{\"a\": 1}~"), "%7B%22a%22%3A%201%7D~");
    }
}
