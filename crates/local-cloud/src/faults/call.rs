//! The call in a request to the AWS endpoint, as far as a fault needs it: service, operation and resource.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::aws_error::{json_error, rest_xml_error};
use crate::body::collect;
use crate::error::chain;

/// The largest body that is parsed: DynamoDB's limit.
pub(super) const MAX_BODY: usize = 16 * 1024 * 1024;

/// DynamoDB's operations that change tables.
const WRITES: [&str; 9] = [
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "ExecuteStatement",
    "CreateTable",
    "UpdateTable",
    "DeleteTable",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    S3,
    DynamoDb,
    SageMaker,
}

/// A call of a service that has faults.
#[derive(Clone, Debug)]
pub(super) struct Call {
    service: Service,
    operation: String,
    /// The path of the object, the key of the item, or the inference id.
    resource: String,
    /// The session token of the calling execution environment.
    pub(super) environment: Option<String>,
    /// Whether it changes a table.
    pub(super) writes: bool,
    /// Whether it reads an index.
    pub(super) index: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self.service {
            Service::S3 => "s3",
            Service::DynamoDb => "dynamodb",
            Service::SageMaker => "sagemaker",
        };
        write!(formatter, "{service}:{} {}", self.operation, self.resource)
    }
}

impl Call {
    /// The call in a request, and the request. `None` for services without faults.
    pub(super) async fn read(
        service: Option<&str>,
        request: Request,
        hash_keys: &BTreeMap<String, String>,
    ) -> Result<(Option<Self>, Request), Response> {
        let headers = request.headers();
        let call = |service, operation: &str, resource: String| Self {
            service,
            operation: operation.to_owned(),
            resource,
            environment: text(headers, "x-amz-security-token").map(str::to_owned),
            writes: false,
            index: false,
        };
        match service {
            Some("s3") | None => {
                let call = call(Service::S3, s3_operation(&request), s3_resource(request.uri().path()));
                Ok((Some(call), request))
            }
            Some("sagemaker") => {
                // The control plane names the operation in a header, the runtime in the path.
                let target = text(headers, "x-amz-target").and_then(|target| target.rsplit('.').next());
                let operation = target.or(request.uri().path().rsplit('/').next()).unwrap_or_default();
                let id = text(headers, "x-amzn-sagemaker-inference-id").unwrap_or_default().to_owned();
                let call = call(Service::SageMaker, operation, id);
                Ok((Some(call), request))
            }
            Some("dynamodb") => {
                let target = text(headers, "x-amz-target").unwrap_or_default();
                let call = call(Service::DynamoDb, target.rsplit('.').next().unwrap_or_default(), String::new());
                let (parts, body) = request.into_parts();
                let body = collect(body, MAX_BODY)
                    .await
                    .map_err(|error| json_error(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", &chain(&error)))?;
                let input = serde_json::from_slice(&body).unwrap_or_default();
                Ok((Some(call.about(&input, hash_keys)), Request::from_parts(parts, Body::from(body))))
            }
            Some(_) => Ok((None, request)),
        }
    }

    /// Completes a call of DynamoDB from its input.
    fn about(mut self, input: &Value, hash_keys: &BTreeMap<String, String>) -> Self {
        let table = input["TableName"].as_str().unwrap_or_default();
        let hash_key = hash_keys.get(table).map(String::as_str).unwrap_or_default();
        let key = |item: &Value| item[hash_key]["S"].as_str().map(str::to_owned);
        self.index = self.operation == "Query" && input["IndexName"].is_string();
        let item = key(&input["Key"]).or_else(|| key(&input["Item"]));
        self.writes = WRITES.contains(&self.operation.as_str());
        self.resource = item.unwrap_or_else(|| {
            let values = input["ExpressionAttributeValues"].as_object();
            let texts = values.into_iter().flatten().filter_map(|(_, value)| value["S"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        });
        self
    }

    /// The throttling error of the service.
    pub(super) fn throttled(&self) -> Response {
        match self.service {
            Service::S3 => {
                rest_xml_error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
            }
            Service::DynamoDb => {
                json_error(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException", "a planned fault")
            }
            Service::SageMaker => json_error(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
        }
    }

    /// The internal error of the service.
    pub(super) fn failed(&self) -> Response {
        match self.service {
            Service::S3 => rest_xml_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "a planned fault"),
            Service::DynamoDb => {
                json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "a planned fault")
            }
            Service::SageMaker => json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "a planned fault"),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn s3_operation(request: &Request) -> &str {
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::PUT if request.headers().contains_key("x-amz-copy-source") => "CopyObject",
        Method::POST if query.starts_with("delete") => "DeleteObjects",
        Method::GET if query.contains("list-type") => "ListObjectsV2",
        Method::GET => "GetObject",
        Method::PUT => "PutObject",
        Method::DELETE => "DeleteObject",
        Method::HEAD => "HeadObject",
        _ => request.method().as_str(),
    }
}

/// The path, with `*` for random names, so that a plan finds the same object in every run.
fn s3_resource(path: &str) -> String {
    let random = |part: &&str| part.len() >= 36 && part.is_char_boundary(36) && Uuid::try_parse(&part[..36]).is_ok();
    path.split('/').map(|part| if random(&part) { "*" } else { part }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn read(service: Option<&str>, request: http::request::Builder, body: &Value) -> (Option<Call>, String) {
        let request = request.body(Body::from(body.to_string())).unwrap();
        let keys = BTreeMap::from([("items".to_owned(), "id".to_owned())]);
        let (call, request) = Call::read(service, request, &keys).await.unwrap();
        let body = collect(request.into_body(), MAX_BODY).await.unwrap();
        (call, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn calls_are_identified_by_operation_and_resource() {
        let put = json!({"TableName": "items", "Item": {"id": {"S": "ada"}, "status": {"S": "x"}}});
        let request = http::Request::post("/").header("x-amz-target", "DynamoDB_20120810.PutItem");
        let (call, body) = read(Some("dynamodb"), request.header("x-amz-security-token", "token"), &put).await;
        let call = call.unwrap();
        assert_eq!((call.to_string(), body), ("dynamodb:PutItem ada".to_owned(), put.to_string()));
        assert_eq!((call.environment.as_deref(), call.writes), (Some("token"), true));

        let query =
            json!({"TableName": "items", "IndexName": "i", "ExpressionAttributeValues": {":s": {"S": "open#1"}}});
        let request = http::Request::post("/").header("x-amz-target", "DynamoDB_20120810.Query");
        let call = read(Some("dynamodb"), request, &query).await.0.unwrap();
        assert!(call.index && !call.writes && call.to_string() == "dynamodb:Query open#1");

        let random = "/out/results/ada/7b8e1a52-30c5-4f0b-9d0e-6f3a1f2f4c11.out";
        for (request, expected) in [
            (http::Request::get(random), "s3:GetObject /out/results/ada/*"),
            (http::Request::put("/in/uploads/ada"), "s3:PutObject /in/uploads/ada"),
            (http::Request::put("/in/x").header("x-amz-copy-source", "in/y"), "s3:CopyObject /in/x"),
            (http::Request::get("/in?list-type=2&prefix=a"), "s3:ListObjectsV2 /in"),
            (http::Request::post("/in?delete"), "s3:DeleteObjects /in"),
        ] {
            assert_eq!(read(Some("s3"), request, &Value::Null).await.0.unwrap().to_string(), expected);
        }
        assert!(read(Some("sqs"), http::Request::post("/"), &Value::Null).await.0.is_none());
    }
}
