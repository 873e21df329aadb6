//! CORS of a bucket: pages of which origins may call it.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use s3s::dto::{CORSConfiguration, CORSRule};
use s3s::{S3Result, s3_error};

use super::store::ObjectStore;
use crate::aws_error::rest_xml_error;

/// The most rules of a bucket.
const MOST_RULES: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

/// # Errors
/// A rule is not one of S3's.
pub(super) fn check(configuration: &CORSConfiguration) -> S3Result {
    let rules = &configuration.cors_rules;
    if rules.is_empty() || rules.len() > MOST_RULES {
        return Err(s3_error!(MalformedXML, "a CORS configuration has 1 to {MOST_RULES} rules, not {}", rules.len()));
    }
    for rule in rules {
        if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
            return Err(s3_error!(MalformedXML, "a CORS rule has an AllowedMethod and an AllowedOrigin"));
        }
        if let Some(method) = rule.allowed_methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            return Err(s3_error!(
                InvalidRequest,
                "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            ));
        }
        let patterns = rule.allowed_origins.iter().chain(rule.allowed_headers.iter().flatten());
        for pattern in patterns {
            if pattern.matches('*').count() > 1 {
                return Err(s3_error!(
                    InvalidRequest,
                    "AllowedOrigin or AllowedHeader \"{pattern}\" can not have more than one wildcard."
                ));
            }
        }
    }
    Ok(())
}

/// Whether a text is that of a pattern with up to one `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
        }
    }
}

/// The first rule for an origin, a method and the headers that a page wants to send.
fn rule<'a>(
    configuration: &'a CORSConfiguration,
    origin: &str,
    method: &str,
    headers: &[String],
) -> Option<&'a CORSRule> {
    let takes = |rule: &CORSRule, header: &String| {
        let allowed = rule.allowed_headers.as_deref().unwrap_or_default();
        allowed.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), header))
    };
    configuration.cors_rules.iter().find(|rule| {
        rule.allowed_origins.iter().any(|pattern| matches(pattern, origin))
            && rule.allowed_methods.iter().any(|allowed| allowed == method)
            && headers.iter().all(|header| takes(rule, header))
    })
}

/// The headers that a browser looks for.
fn headers(rule: &CORSRule, origin: &str, asked: &[String]) -> HeaderMap {
    let anyone = rule.allowed_origins.iter().any(|pattern| pattern == "*");
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    insert(ACCESS_CONTROL_ALLOW_ORIGIN, if anyone { "*" } else { origin });
    insert(ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods.join(", "));
    if !anyone {
        insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    if !asked.is_empty() {
        insert(ACCESS_CONTROL_ALLOW_HEADERS, &asked.join(", "));
    }
    if let Some(exposed) = rule.expose_headers.as_ref().filter(|exposed| !exposed.is_empty()) {
        insert(ACCESS_CONTROL_EXPOSE_HEADERS, &exposed.join(", "));
    }
    if let Some(seconds) = rule.max_age_seconds {
        insert(ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
    }
    insert(VARY, "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
    headers
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Answers the preflight of a page.
pub(super) fn preflight(store: &ObjectStore, bucket: Option<&str>, request: &HeaderMap) -> Response {
    let (Some(origin), Some(method)) = (text(request, ORIGIN), text(request, ACCESS_CONTROL_REQUEST_METHOD)) else {
        let message = "Insufficient information. Origin request header needed, and Access-Control-Request-Method.";
        return rest_xml_error(StatusCode::BAD_REQUEST, "BadRequest", message);
    };
    let asked = text(request, ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default().split(',');
    let asked: Vec<String> =
        asked.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect();
    let configuration = bucket.and_then(|bucket| store.setting::<CORSConfiguration>(bucket).ok().flatten());
    let Some(configuration) = configuration else {
        let message = "CORSResponse: CORS is not enabled for this bucket.";
        return rest_xml_error(StatusCode::FORBIDDEN, "AccessForbidden", message);
    };
    match rule(&configuration, origin, method, &asked) {
        Some(rule) => {
            let mut response = Response::new(Body::empty());
            *response.headers_mut() = headers(rule, origin, &asked);
            response
        }
        None => {
            let message = "CORSResponse: This CORS request is not allowed: no rule of the bucket is for its origin, method and headers.";
            rest_xml_error(StatusCode::FORBIDDEN, "AccessForbidden", message)
        }
    }
}

/// The headers for a page's request, if a rule of the bucket is for it.
pub(super) fn of_request(store: &ObjectStore, bucket: Option<&str>, method: &Method, origin: &str) -> HeaderMap {
    let configuration = bucket.and_then(|bucket| store.setting::<CORSConfiguration>(bucket).ok().flatten());
    let rule = configuration.as_ref().and_then(|configuration| rule(configuration, origin, method.as_str(), &[]));
    rule.map(|rule| headers(rule, origin, &[])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(origins: &[&str], headers: Option<&[&str]>) -> CORSConfiguration {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rule = CORSRule {
            allowed_origins: texts(origins),
            allowed_methods: texts(&["GET", "PUT"]),
            allowed_headers: headers.map(texts),
            ..Default::default()
        };
        CORSConfiguration { cors_rules: vec![rule] }
    }

    #[test]
    fn rules_match_by_origin_method_and_headers() {
        let own = configuration(&["https://*.example.com"], Some(&["x-amz-*", "Content-Type"]));
        let asked = ["x-amz-date".to_owned(), "content-type".to_owned()];
        assert!(rule(&own, "https://a.example.com", "PUT", &asked).is_some());
        assert!(rule(&own, "https://example.com", "PUT", &asked).is_none());
        assert!(rule(&own, "https://a.example.com", "DELETE", &asked).is_none());
        assert!(rule(&own, "https://a.example.com", "GET", &["authorization".to_owned()]).is_none());
        let any = configuration(&["*"], None);
        assert_eq!(headers(&any.cors_rules[0], "http://a", &[])[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(rule(&any, "http://a", "GET", &asked).is_none(), "no header is allowed");
    }

    #[test]
    fn configurations_are_checked() {
        assert!(check(&configuration(&["*"], None)).is_ok());
        assert!(check(&configuration(&["*.*"], None)).is_err());
        assert!(check(&CORSConfiguration::default()).is_err());
        let mut bad = configuration(&["*"], None);
        bad.cors_rules[0].allowed_methods.push("PATCH".into());
        assert!(check(&bad).is_err());
    }
}
