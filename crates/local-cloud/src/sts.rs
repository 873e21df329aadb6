//! STS: `GetCallerIdentity`, which answers one identity to every caller.

use axum::extract::Request;
use axum::response::Response;

use crate::ACCOUNT;
use crate::aws_error::query_not_implemented;
use crate::query::{Query, answer, element};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The identity of every caller: a session of the role `local`.
const USER_ID: &str = "AROALOCALCLOUD0000000:session";

pub(crate) async fn call(request: Request) -> Response {
    let query = match Query::read(request).await {
        Ok(query) => query,
        Err(refusal) => return refusal,
    };
    match query.action() {
        action @ "GetCallerIdentity" => {
            let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/local/session");
            let identity = [("Arn", arn.as_str()), ("UserId", USER_ID), ("Account", ACCOUNT)];
            let result: String = identity.iter().map(|(name, text)| element(name, text)).collect();
            answer(action, NAMESPACE, &result)
        }
        other => query_not_implemented(&format!("STS: {other}")),
    }
}
