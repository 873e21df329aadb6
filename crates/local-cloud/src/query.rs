//! The Query protocol of AWS: a form as the request, XML as the answer.

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use uuid::Uuid;

use crate::aws_error::query_error;

/// The fields of a request.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a request. The error is the answer to one that is no form.
    pub(crate) async fn read(request: Request) -> Result<Self, Response> {
        match Form::<Vec<(String, String)>>::from_request(request, &()).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(error) => Err(query_error(StatusCode::BAD_REQUEST, "MalformedQueryString", &error.to_string())),
        }
    }

    /// The operation; empty if the request names none.
    pub(crate) fn action(&self) -> &str {
        self.field("Action").unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The members of a list, `{name}.member.1` and so on.
    pub(crate) fn members(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|number| self.field(&format!("{name}.member.{number}"))).collect()
    }
}

/// An answer. `result` is the XML within `{action}Result`.
pub(crate) fn answer(action: &str, namespace: &str, result: &str) -> Response {
    let id = Uuid::new_v4();
    let metadata = format!("<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata>");
    let result = format!("<{action}Result>{result}</{action}Result>");
    let body = format!("<{action}Response xmlns=\"{namespace}\">{result}{metadata}</{action}Response>");
    ([("content-type", "text/xml")], body).into_response()
}

/// An element with text.
pub(crate) fn element(name: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{name}>{text}</{name}>")
}
