//! A server on the loopback interface answers programs of this machine, and no page of another site.
//!
//! SageMaker reaches a container by another interface. There, neither header means anything, and nothing is refused.
//!
//! Nor is there a network to be shared with others: answers are sent as fast as they are read.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;

/// Has the connections of a listener on the loopback interface send without pauses. If the system's congestion control is BBR, it
/// paces what is sent by timers, and a strip takes twice the processor time. Every Linux has Reno.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "other systems choose no congestion control"))]
pub(crate) fn send_at_once(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(listener).set_tcp_congestion(b"reno") {
        tracing::debug!(%error, "the congestion control stays the system's");
    }
}

/// Refuses requests for a host that is not this machine, which a page can make by a name of its own (DNS rebinding), and requests that a
/// page of another site makes.
pub(crate) async fn refuse_foreign(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        None => next.run(request).await,
        Some(message) => {
            (StatusCode::FORBIDDEN, Json(json!({"code": "FOREIGN_REQUEST", "message": message}))).into_response()
        }
    }
}

fn foreign(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // HTTP/1.0 clients may send no host.
    let host = text("host").filter(|host| !is_local(host));
    if let Some(host) = host {
        return Some(format!("the host {host:?} is not served here: 127.0.0.1 and localhost are"));
    }
    let origin = text(header::ORIGIN.as_str());
    let is_foreign = |origin: &str| !origin.split_once("://").is_some_and(|(_, host)| is_local(host));
    match origin {
        Some(origin) if is_foreign(&origin) => Some(format!("a page of {origin:?} has no business here")),
        None if text("sec-fetch-site").as_deref() == Some("cross-site") => {
            Some("a page of another site has no business here".to_owned())
        }
        _ => None,
    }
}

/// Whether a host, with or without a port, can only be this machine.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "[::1]" | "localhost") || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn connections_do_not_pause() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        send_at_once(&listener);
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(socket2::SockRef::from(&accepted).tcp_congestion().unwrap().starts_with(b"reno"));
    }

    #[test]
    fn hosts_and_pages_of_this_machine_are_answered() {
        let refused = |headers: &[(&'static str, &'static str)]| {
            let headers =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            foreign(&headers.collect()).is_some()
        };
        for good in ["127.0.0.1:8080", "localhost", "[::1]:80", "a.localhost:1"] {
            assert!(!refused(&[("host", good)]), "{good}");
        }
        for bad in
            ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example", ""]
        {
            assert!(refused(&[("host", bad)]), "{bad}");
        }
        assert!(!refused(&[]) && !refused(&[("host", "localhost"), ("origin", "http://localhost:3000")]));
        assert!(refused(&[("host", "localhost"), ("origin", "http://evil.example")]));
        assert!(refused(&[("host", "localhost"), ("origin", "null")]));
        assert!(refused(&[("host", "localhost"), ("sec-fetch-site", "cross-site")]));
    }
}
