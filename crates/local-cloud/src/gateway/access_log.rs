//! The access log of both APIs: a line of JSON for each request. As the access logs of the templates for AWS, it names the route, not
//! its path, and not who asks.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use axum::response::Response;
use http::{HeaderValue, Method};
use serde_json::json;
use uuid::Uuid;

use super::path::Template;
use crate::clock::now_rfc3339;

/// The log's file, in the folder of all logs.
const FILE: &str = "api-access.log";
/// The header of an answer that names its request, as both kinds of API send it.
const REQUEST_ID: [&str; 2] = ["x-amzn-requestid", "apigw-requestid"];

pub(super) struct AccessLog {
    path: PathBuf,
}

/// A request that is not answered yet.
pub(super) struct Asked {
    /// The id, which integrations and functions get too.
    pub(super) request: String,
    time: String,
    method: Method,
    route: String,
    start: Instant,
}

impl Asked {
    pub(super) fn new(method: &Method, route: &Template) -> Self {
        Self {
            request: Uuid::new_v4().to_string(),
            time: now_rfc3339(),
            method: method.clone(),
            route: route.to_string(),
            start: Instant::now(),
        }
    }
}

impl AccessLog {
    pub(super) fn new(logs: &Path) -> Self {
        Self { path: logs.join(FILE) }
    }

    /// Logs the answer to a request, and names the request in it.
    pub(super) fn answered(&self, asked: Asked, mut response: Response) -> Response {
        let Asked { request, time, method, route, start } = asked;
        let ms = start.elapsed().as_micros() as f64 / 1e3;
        let line = json!({"timestamp": time, "level": "INFO", "fields": {
            "message": "answered", "request": request, "method": method.as_str(), "route": route,
            "status": response.status().as_u16(), "ms": ms,
        }});
        if let Err(error) = self.append(&format!("{line}\n")) {
            tracing::warn!(%error, "a request cannot be logged");
        }
        for name in REQUEST_ID {
            if let Ok(value) = HeaderValue::from_str(&request) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// A line is written at once, so that lines of requests that end together stay whole.
    fn append(&self, line: &str) -> std::io::Result<()> {
        let open = || File::options().create(true).append(true).open(&self.path);
        let mut file = open().or_else(|_| {
            self.path.parent().map_or(Ok(()), fs::create_dir_all)?;
            open()
        })?;
        file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_names_the_route_and_the_request_and_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let log = AccessLog::new(&folder.path().join("logs"));
        let asked = Asked::new(&Method::GET, &Template::new("/items/{id}"));
        let id = asked.request.clone();
        let answer = log.answered(asked, Response::new(Body::empty()));
        assert_eq!(answer.headers()["x-amzn-requestid"], id.as_str());
        let text = fs::read_to_string(folder.path().join("logs").join(FILE)).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["fields"]["request"], &line["fields"]["route"]), (&json!(id), &json!("/items/{id}")));
        assert_eq!((&line["fields"]["method"], &line["fields"]["status"]), (&json!("GET"), &json!(200)));
    }
}
