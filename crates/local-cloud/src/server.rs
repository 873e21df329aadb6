//! How requests come in: from this machine only, and within limits of size, time and number.

mod pace;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper_util::rt::TokioTimer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::pace::{End, paced};
use crate::browser::is_navigation;

/// The largest head of a request: 64 KB, several times what an SDK sends with a presigned URL.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection may take to send a request's head, and how long it may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request may take, its body included: longer than any function or model takes to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(900);
/// The most concurrent requests with a body, and without one: bodies that do not arrive keep no other request out. Further ones are
/// refused with 503.
const MAX_REQUESTS: usize = 1024;
/// The largest body, in bytes: that of an object in S3.
const MAX_BODY: u64 = 5 << 30;

/// The places of concurrent requests.
struct Places {
    with_body: Semaphore,
    without: Semaphore,
}

/// Limits the concurrent requests of a router, the duration of each, and the time of its body.
pub(crate) fn limited(router: Router) -> Router {
    let places = Places { with_body: Semaphore::new(MAX_REQUESTS), without: Semaphore::new(MAX_REQUESTS) };
    router.layer(middleware::from_fn_with_state(Arc::new(places), limit))
}

/// The paths of documents that pages of other sites may link to.
pub(crate) type Linked = Arc<BTreeSet<String>>;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router, linked: Linked) -> io::Result<()> {
    let router =
        router.layer(middleware::from_fn_with_state(linked, refuse_foreign)).layer(middleware::map_response(dated));
    send_at_once(&listener);
    let mut server = axum_server::from_tcp(listener.into_std()?)?.http1_only();
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
    server.serve(router.into_make_service()).await
}

/// Has the connections of a listener send without pauses. If the system's congestion control is BBR, it paces what is sent by timers,
/// and a large object takes twice the processor time. Every Linux has Reno, and on one machine no other sender shares the network.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "other systems choose no congestion control"))]
fn send_at_once(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(listener).set_tcp_congestion(b"reno") {
        tracing::debug!(%error, "the congestion control stays the system's");
    }
}

/// Writes the time of the answer. The server's own `Date` stands still when the machine's clock is set back, and SDKs set their
/// clocks by it.
async fn dated(mut response: Response) -> Response {
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(now) = HeaderValue::from_str(&now) {
        response.headers_mut().insert(header::DATE, now);
    }
    response
}

async fn limit(State(places): State<Arc<Places>>, request: Request, next: Next) -> Response {
    let permits = if request.body().is_end_stream() { &places.without } else { &places.with_body };
    let (parts, body) = request.into_parts();
    let (body, end) = {
        let places = Arc::clone(&places);
        let waits = parts.headers.contains_key(header::EXPECT);
        paced(body, waits, move || places.with_body.available_permits() < MAX_REQUESTS / 2)
    };
    let request = Request::from_parts(parts, body);
    let Ok(_permit) = permits.try_acquire() else {
        let message = format!("{MAX_REQUESTS} requests are under way: try again in a second");
        return closing(refusal(StatusCode::SERVICE_UNAVAILABLE, &message), end).await;
    };
    let response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("the request took more than {} seconds", REQUEST_TIMEOUT.as_secs());
            refusal(StatusCode::REQUEST_TIMEOUT, &message)
        }
    };
    closing(response, end).await
}

/// Says that the connection ends, where a body is not read to its end. A client that does not know would use it again, and fail.
async fn closing(mut response: Response, end: End) -> Response {
    if !end.reached().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Refuses the requests that a web page of another site can make. Such a page may reach the loopback interface by a host name of
/// its own (DNS rebinding), or send a request that the browser marks as cross-site. It may link to a page that is meant to be opened.
async fn refuse_foreign(State(linked): State<Linked>, request: Request, next: Next) -> Response {
    if let Some((status, message)) = malformed(&request) {
        return refusal(status, message);
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_link = is_read && is_navigation(request.headers()) && linked.contains(request.uri().path());
    match foreign(request.headers(), is_link) {
        None => next.run(request).await,
        Some(message) => refusal(StatusCode::FORBIDDEN, &message),
    }
}

/// Why a request's head cannot be meant. RFC 9112, section 3.2.
fn malformed(request: &Request) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Some((StatusCode::BAD_REQUEST, "the request has several Host headers: one would work"));
    }
    if request.uri().authority().is_some_and(|authority| !is_local(authority.as_str())) {
        return Some((StatusCode::FORBIDDEN, "the host of the request's target is not served here"));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 5 GB: send it in parts"));
    }
    None
}

/// Why a request is refused as one of another site. One that follows a link needs no more than a host of this machine.
fn foreign(headers: &HeaderMap, is_link: bool) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    if !is_local(host) {
        return Some(format!("the host {host:?} is not served here: 127.0.0.1 and localhost are"));
    }
    let is_this_machine = |origin: &str| origin.split_once("://").is_some_and(|(_, host)| is_local(host));
    match text("origin") {
        // To a browser, `localhost` and 127.0.0.1 are different sites.
        Some(origin) if is_this_machine(origin) => None,
        Some(origin) => Some(format!("a page of {origin:?} has no business here")),
        None => (text("sec-fetch-site") == Some("cross-site") && !is_link)
            .then(|| "a page of another site has no business here".to_owned()),
    }
}

/// Whether a host, with or without a port, can only be this machine.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "[::1]" | "localhost") || name.ends_with(".localhost")
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn router() -> Router {
        Router::new().route("/", get(async || "served")).route("/data", get(async || "served"))
    }

    async fn answer(head: &str) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, limited(router()), Arc::new(["/".to_owned()].into())));
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that refuses a head need not read all of it.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        server.abort();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn connections_do_not_pause() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        send_at_once(&listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(socket2::SockRef::from(&accepted).tcp_congestion().unwrap().starts_with(b"reno"));
    }

    #[tokio::test]
    async fn heads_are_limited_and_hosts_are_local() {
        let head = |host: &str, more: usize| {
            format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nx-more: {}\r\n\r\n", "x".repeat(more))
        };
        assert!(answer(&head("localhost", 20_000)).await.ends_with("served"));
        assert!(answer(&head("localhost", 2 * MAX_HEAD)).await.starts_with("HTTP/1.1 431"));
        assert!(answer(&head("evil.example", 0)).await.starts_with("HTTP/1.1 403"));
        let twice = "GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert!(answer(twice).await.starts_with("HTTP/1.1 400"));
        let foreign = "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert!(answer(foreign).await.starts_with("HTTP/1.1 403"));
        let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
        assert!(answer(&format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test]
    async fn another_site_may_link_to_the_page_and_no_more() {
        let from = |path: &str, mode: &str, dest: &str| {
            format!(
                "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nsec-fetch-site: cross-site\r\n\
                 sec-fetch-mode: {mode}\r\nsec-fetch-dest: {dest}\r\n\r\n"
            )
        };
        assert!(answer(&from("/", "navigate", "document")).await.ends_with("served"));
        for other in
            [from("/data", "navigate", "document"), from("/", "no-cors", "image"), from("/", "navigate", "iframe")]
        {
            assert!(answer(&other).await.starts_with("HTTP/1.1 403"), "{other}");
        }
        let post = from("/", "navigate", "document").replace("GET", "POST");
        assert!(answer(&post).await.starts_with("HTTP/1.1 403"));
    }

    #[tokio::test]
    async fn a_body_that_no_handler_reads_costs_the_connection_only_if_it_was_not_sent() {
        let post = |more: &str| format!("POST /data HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n{more}\r\n");
        let both = answer(&(post("") + "helloGET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        assert!(both.starts_with("HTTP/1.1 405") && both.ends_with("served"), "{both}");
        let refused = answer(&post("expect: 100-continue\r\n")).await;
        assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("connection: close"), "{refused}");
    }

    #[tokio::test]
    async fn an_absurd_length_is_refused_before_the_body() {
        let put = |length: &str| format!("PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        assert!(answer(&put("9223372036854775807")).await.starts_with("HTTP/1.1 413"));
    }

    #[tokio::test]
    async fn answers_have_the_time_of_now() {
        let answer = answer("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let dates: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("date: ")).collect();
        let [date] = dates[..] else { panic!("{answer}") };
        let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        let now = jiff::Timestamp::now();
        assert!((now - date).total(jiff::Unit::Second).unwrap() < 10.0, "{answer}");
    }

    #[tokio::test]
    async fn bodies_that_do_not_arrive_leave_places_for_requests_without_one() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Arc::new(Places { with_body: Semaphore::new(2), without: Semaphore::new(2) });
        let read = async |body: axum::body::Bytes| format!("{} bytes", body.len());
        let router = Router::new().route("/", get(async || "served").put(read));
        let router = router.layer(middleware::from_fn_with_state(Arc::clone(&places), limit));
        let server = tokio::spawn(serve(listener, router, Arc::default()));
        let mut stalled = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
            stalled.push(stream);
        }
        while places.with_body.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{address}/");
        assert_eq!(client.put(&url).body("hello").send().await.unwrap().status(), 503);
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "served");
        server.abort();
    }
}
