//! A client of a few operations of Amazon SQS, AWS Lambda and Amazon SageMaker, which sends signed requests. The SDK's clients of these
//! services take longer to compile than the rest of this crate.

pub(crate) mod sagemaker;

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_types::service_config::ServiceConfigKey;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{limited, shown};
use super::api::is_local;
use super::signature::Signer;

/// Attempts at a request, where the environment configures no number.
const ATTEMPTS: u32 = 3;
/// How long the first retry waits. Each further one waits twice as long as the one before.
const BACKOFF: Duration = Duration::from_millis(250);
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// The limit of an answer, in bytes: ten messages of 1 MB, in which JSON may write a byte as six.
const BYTES: usize = 64 << 20;

/// Loads the configuration of the environment, as AWS's tools do. At a named endpoint, a region and credentials are not required.
pub(crate) async fn config(endpoint_url: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
        if std::env::var_os("AWS_REGION").is_none() && std::env::var_os("AWS_DEFAULT_REGION").is_none() {
            loader = loader.region(Region::from_static("us-east-1"));
        }
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() && std::env::var_os("AWS_PROFILE").is_none() {
            loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "none were set"));
        }
    }
    loader.load().await
}

/// One AWS service in one region.
struct Service {
    http: reqwest::Client,
    endpoint: Url,
    signer: Signer,
    attempts: u32,
    backoff: Duration,
}

impl Service {
    /// `name` is the signing name, such as `sqs`, which begins the host's name too; `id` the service's name in variables and profiles, such
    /// as `SQS`.
    fn new(config: &SdkConfig, name: &'static str, id: &str) -> anyhow::Result<Self> {
        Self::at(config, name, id, name)
    }

    /// The same of a service whose host's name begins otherwise.
    fn at(config: &SdkConfig, name: &'static str, id: &str, host: &str) -> anyhow::Result<Self> {
        let region = config.region().context("no AWS region is configured: set AWS_REGION")?.as_ref().to_owned();
        let endpoint = match configured_endpoint(config, id) {
            Some(url) => url.parse::<Url>().with_context(|| format!("the endpoint {url:?} of {id} is no URL"))?,
            None if config.use_fips() == Some(true) || config.use_dual_stack() == Some(true) => {
                bail!(
                    "set AWS_ENDPOINT_URL_{} to the FIPS or dual-stack endpoint of {id}",
                    id.to_uppercase().replace(' ', "_")
                )
            }
            None => {
                let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://{host}.{region}.{domain}").parse()?
            }
        };
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).redirect(Policy::none());
        // A proxy cannot reach this machine's loopback interface.
        let builder = if is_local(&endpoint) { builder.no_proxy() } else { builder };
        Ok(Self {
            http: builder.build().context("the HTTP client cannot start")?,
            endpoint,
            signer: Signer::new(config, name, region)?,
            attempts: config.retry_config().map_or(ATTEMPTS, |retry| retry.max_attempts()).max(1),
            backoff: BACKOFF,
        })
    }

    /// A request to a path of the endpoint, which begins with `/`.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.endpoint.as_str().trim_end_matches('/')))
    }

    /// Signs and sends a request, and sends it again after throttling or a server's fault. Returns the answer's body.
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let mut attempt = 0;
        loop {
            let request = request.try_clone().context("a request of a stream cannot be repeated")?.build()?;
            let failure = match self.attempt(request).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            attempt += 1;
            if !failure.is_transient || attempt >= self.attempts {
                return Err(failure.error);
            }
            tokio::time::sleep(self.backoff * (1 << (attempt - 1).min(6))).await;
        }
    }

    async fn attempt(&self, mut request: reqwest::Request) -> Result<Vec<u8>, Failure> {
        self.signer.sign(&mut request).await.map_err(|error| Failure { error, is_transient: false })?;
        let unreachable = |error: reqwest::Error| {
            let error = anyhow::Error::new(error).context(format!("{} cannot be reached", self.endpoint));
            Failure { error, is_transient: true }
        };
        let answer = self.http.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        let header = answer.headers().get("x-amzn-errortype").and_then(|code| code.to_str().ok()).map(str::to_owned);
        let body = limited(answer, BYTES, "the answer").await;
        let body = body.map_err(|error| Failure { error, is_transient: true })?;
        if status.is_success() { Ok(body) } else { Err(Failure::new(status, header.as_deref(), &body)) }
    }
}

/// The endpoint that an option, a variable or a profile names, for the service or for all services.
fn configured_endpoint(config: &SdkConfig, id: &str) -> Option<String> {
    let of_all = config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return of_all;
    }
    let key =
        ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
    let of_service = config.service_config().and_then(|config| config.load_config(key));
    of_service.or(of_all)
}

/// Why an attempt failed.
#[derive(Debug)]
struct Failure {
    error: anyhow::Error,
    /// Whether the same request may succeed later.
    is_transient: bool,
}

impl Failure {
    /// Of an answer. Its code is in the header `x-amzn-errortype` (REST) or in the body (AWS JSON).
    fn new(status: StatusCode, header: Option<&str>, body: &[u8]) -> Self {
        let fields: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| fields[name].as_str();
        // `com.amazonaws.sqs#QueueDoesNotExist`, `ResourceNotFoundException:http://...`
        let code = header.or_else(|| text("__type")).or_else(|| text("code")).unwrap_or(status.as_str());
        let code = code.split(':').next().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        let message = text("message").or_else(|| text("Message")).unwrap_or("the answer has no message");
        let message = words_of_model(&fields).map_or(message.into(), Cow::from);
        let is_throttled = status == StatusCode::TOO_MANY_REQUESTS
            || ["Throttl", "TooManyRequests", "LimitExceeded", "SlowDown"].iter().any(|part| code.contains(part));
        Self {
            error: anyhow!("{}: {}", shown(code), shown(&message)),
            is_transient: is_throttled || status.is_server_error(),
        }
    }
}

/// What a model server said, of an answer of SageMaker that reports it: its status, and the code and the message of its JSON. SageMaker's
/// own message quotes that JSON as it is.
fn words_of_model(fields: &Value) -> Option<String> {
    let status = fields["OriginalStatusCode"].as_u64()?;
    let original = fields["OriginalMessage"].as_str()?;
    let said: Value = serde_json::from_str(original).unwrap_or_default();
    let words = match (said["code"].as_str(), said["message"].as_str()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => original.to_owned(),
    };
    Some(format!("the model server answered {status}: {words}"))
}

/// A message of a queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Message {
    #[serde(rename = "MessageId")]
    pub(crate) id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
}

/// Amazon SQS, by its AWS JSON 1.0 protocol.
pub(crate) struct Sqs(Service);

impl Sqs {
    /// # Errors
    /// Where the configuration has no region, or an endpoint that is no URL.
    pub(crate) fn new(config: &SdkConfig) -> anyhow::Result<Self> {
        Ok(Self(Service::new(config, "sqs", "SQS")?))
    }

    pub(crate) async fn get_queue_url(&self, queue: &str) -> anyhow::Result<String> {
        let answer = self.call("GetQueueUrl", &json!({"QueueName": queue})).await?;
        Ok(answer["QueueUrl"].as_str().context("GetQueueUrl: the answer has no QueueUrl")?.to_owned())
    }

    /// Receives at most ten messages, which then are invisible to other consumers for some time.
    pub(crate) async fn receive_messages(&self, queue_url: &str, invisible: Duration) -> anyhow::Result<Vec<Message>> {
        let seconds = invisible.as_secs();
        let input = json!({"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": seconds});
        let mut answer = self.call("ReceiveMessage", &input).await?;
        match answer["Messages"].take() {
            Value::Null => Ok(Vec::new()),
            messages => serde_json::from_value(messages).context("ReceiveMessage: the messages cannot be read"),
        }
    }

    pub(crate) async fn delete_message(&self, queue_url: &str, receipt_handle: &str) -> anyhow::Result<()> {
        self.call("DeleteMessage", &json!({"QueueUrl": queue_url, "ReceiptHandle": receipt_handle})).await?;
        Ok(())
    }

    async fn call(&self, operation: &str, input: &Value) -> anyhow::Result<Value> {
        let request = self
            .0
            .request(Method::POST, "/")
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header(HeaderName::from_static("x-amz-target"), format!("AmazonSQS.{operation}"))
            .body(input.to_string());
        let body = self.0.send(request).await?;
        // An operation without a result has an empty body.
        let body = if body.is_empty() { b"{}" } else { &body[..] };
        serde_json::from_slice(body).with_context(|| format!("{operation}: the answer is not JSON"))
    }
}

/// AWS Lambda, by its REST protocol.
pub(crate) struct Lambda(Service);

impl Lambda {
    /// # Errors
    /// Where the configuration has no region, or an endpoint that is no URL.
    pub(crate) fn new(config: &SdkConfig) -> anyhow::Result<Self> {
        Ok(Self(Service::new(config, "lambda", "Lambda")?))
    }

    /// Queues an event for a function, given by its name or ARN, and does not wait for the function.
    pub(crate) async fn invoke_async(&self, function: &str, event: &str) -> anyhow::Result<()> {
        let path = format!("/2015-03-31/functions/{}/invocations", percent_encoded(function));
        let request = self
            .0
            .request(Method::POST, &path)
            .header(HeaderName::from_static("x-amz-invocation-type"), "Event")
            .body(event.to_owned());
        self.0.send(request).await?;
        Ok(())
    }
}

/// A path segment: every byte encoded but unreserved characters, as signatures need it.
fn percent_encoded(segment: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    segment.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    /// An endpoint that gives these answers in turn, and returns the requests: head and body.
    async fn endpoint(answers: &'static [(&'static str, &'static str)]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = async move {
            let mut requests = Vec::new();
            for (head, body) in answers {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                let (mut request, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    request.push_str(&line);
                    if line == "\r\n" {
                        break;
                    }
                }
                let mut content = vec![0; length];
                stream.read_exact(&mut content).await.unwrap();
                request.push_str(std::str::from_utf8(&content).unwrap());
                requests.push(request);
                let answer =
                    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        };
        (url, tokio::spawn(serve))
    }

    fn configuration(url: &str) -> SdkConfig {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::from_static("eu-west-1"))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .build()
    }

    fn sqs(url: &str) -> Sqs {
        let mut sqs = Sqs::new(&configuration(url)).unwrap();
        sqs.0.backoff = Duration::from_millis(1);
        sqs
    }

    #[tokio::test]
    async fn sqs_speaks_aws_json() {
        let received =
            r#"{"Messages": [{"MessageId": "m", "ReceiptHandle": "r", "Body": "{}", "MD5OfBody": "99914b"}]}"#;
        let answers = Box::leak(Box::new([("200 OK", received), ("200 OK", "{}"), ("200 OK", "")]));
        let (url, served) = endpoint(answers).await;
        let sqs = sqs(&url);
        let messages = sqs.receive_messages("http://queue", Duration::from_secs(30)).await.unwrap();
        assert_eq!((messages[0].id.as_str(), messages[0].body.as_str()), ("m", "{}"));
        assert!(sqs.receive_messages("http://queue", Duration::from_secs(30)).await.unwrap().is_empty());
        sqs.delete_message("http://queue", "r").await.unwrap();
        let requests = served.await.unwrap();
        let [receive, _, delete] = &requests[..] else { panic!("{requests:?}") };
        assert!(receive.starts_with("POST / HTTP/1.1\r\n"), "{receive}");
        for part in [
            "\r\ncontent-type: application/x-amz-json-1.0\r\n",
            "\r\nx-amz-target: AmazonSQS.ReceiveMessage\r\n",
            "/eu-west-1/sqs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target",
            r#"{"MaxNumberOfMessages":10,"QueueUrl":"http://queue","VisibilityTimeout":30}"#,
        ] {
            assert!(receive.contains(part), "no {part} in {receive}");
        }
        assert!(delete.ends_with(r#"{"QueueUrl":"http://queue","ReceiptHandle":"r"}"#), "{delete}");
    }

    #[tokio::test]
    async fn lambda_queues_an_event() {
        let (url, served) = endpoint(&[("202 Accepted", "")]).await;
        let lambda = Lambda::new(&configuration(&url)).unwrap();
        lambda.invoke_async("arn:aws:lambda:eu-west-1:1:function:f", r#"{"a":1}"#).await.unwrap();
        let request = served.await.unwrap().remove(0);
        let path =
            "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Af/invocations HTTP/1.1\r\n";
        assert!(request.starts_with(path), "{request}");
        assert!(request.contains("\r\nx-amz-invocation-type: Event\r\n") && request.ends_with("\r\n\r\n{\"a\":1}"));
    }

    #[tokio::test]
    async fn throttling_and_server_faults_are_tried_again() {
        let throttled = ("400 Bad Request", r#"{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow"}"#);
        let fault = ("503 Service Unavailable", "");
        let answers = Box::leak(Box::new([throttled, fault, ("200 OK", r#"{"QueueUrl": "u"}"#)]));
        let (url, served) = endpoint(answers).await;
        assert_eq!(sqs(&url).get_queue_url("q").await.unwrap(), "u");
        assert_eq!(served.await.unwrap().len(), 3);
        let (url, _served) = endpoint(Box::leak(Box::new([throttled; 3]))).await;
        assert_eq!(sqs(&url).get_queue_url("q").await.unwrap_err().to_string(), "RequestThrottled: slow");
    }

    #[tokio::test]
    async fn an_error_has_awss_code_and_message() {
        let missing =
            r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."}"#;
        let (url, _served) = endpoint(Box::leak(Box::new([("400 Bad Request", missing)]))).await;
        let error = sqs(&url).get_queue_url("q").await.unwrap_err().to_string();
        assert_eq!(error, "QueueDoesNotExist: The specified queue does not exist.");

        let missing =
            ("404 Not Found\r\nx-amzn-errortype: ResourceNotFoundException:http://x", r#"{"Message": "no f"}"#);
        let (url, _served) = endpoint(Box::leak(Box::new([missing]))).await;
        let lambda = Lambda::new(&configuration(&url)).unwrap();
        let error = lambda.invoke_async("f", "{}").await.unwrap_err().to_string();
        assert_eq!(error, "ResourceNotFoundException: no f");
    }

    #[tokio::test]
    async fn an_error_of_a_model_server_is_shown_as_the_server_said_it() {
        let refused = r#"{"Message": "Received client error (400) from primary with message \"...\"", "OriginalStatusCode": 400,
            "OriginalMessage": "{\"code\":\"BAD_ARRAY\",\"message\":\"the type \\\"f8\\\" is no uint8\"}"}"#;
        let plain = r#"{"Message": "Received ...", "OriginalStatusCode": 500, "OriginalMessage": "no \"model\""}"#;
        for (answer, expected) in [
            (refused, r#"ModelError: the model server answered 400: BAD_ARRAY: the type "f8" is no uint8"#),
            (plain, r#"ModelError: the model server answered 500: no "model""#),
        ] {
            let head = "424 Failed Dependency\r\nx-amzn-errortype: ModelError";
            let (url, _served) = endpoint(Box::leak(Box::new([(head, answer)]))).await;
            let runtime = sagemaker::Runtime::new(&configuration(&url)).unwrap();
            let error = runtime.invoke("e", b"", "application/x-npy").await.unwrap_err().to_string();
            assert_eq!(error, expected);
        }
    }

    #[tokio::test]
    async fn a_redirect_is_a_failure() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let head = format!("307 Temporary Redirect\r\nlocation: http://{}/", elsewhere.local_addr().unwrap());
        let (url, _served) = endpoint(Box::leak(Box::new([(&*head.leak(), "{}")]))).await;
        let error = sqs(&url).get_queue_url("q").await.unwrap_err().to_string();
        assert!(error.starts_with("307: "), "{error}");
    }

    #[test]
    fn endpoints_follow_the_region() {
        let endpoint = |region: &'static str| {
            let mut config = configuration("x").into_builder().region(Region::from_static(region));
            config.set_endpoint_url(None);
            Sqs::new(&config.build()).unwrap().0.endpoint.to_string()
        };
        assert_eq!(endpoint("eu-west-1"), "https://sqs.eu-west-1.amazonaws.com/");
        assert_eq!(endpoint("cn-north-1"), "https://sqs.cn-north-1.amazonaws.com.cn/");
    }
}
