//! The web page, embedded. `site/` is the page as any static host serves it; there is no build step.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is, below the page's address: `app.js`.
    pub name: &'static str,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// What is in it.
    pub body: &'static [u8],
}

macro_rules! files {
    ($($name:literal $media_type:literal)*) => {
        [$(File { name: $name, media_type: $media_type, body: include_bytes!(concat!("../site/", $name)) }),*]
    };
}

/// Every file; the first is the page itself, the second its style.
pub const FILES: [File; 17] = files! {
    "index.html" "text/html; charset=utf-8"
    "style.css" "text/css; charset=utf-8"
    "app.js" "text/javascript; charset=utf-8"
    "ages.js" "text/javascript; charset=utf-8"
    "animation.js" "text/javascript; charset=utf-8"
    "api.js" "text/javascript; charset=utf-8"
    "camera.js" "text/javascript; charset=utf-8"
    "gallery.js" "text/javascript; charset=utf-8"
    "intake.js" "text/javascript; charset=utf-8"
    "memory.js" "text/javascript; charset=utf-8"
    "photo.js" "text/javascript; charset=utf-8"
    "portraits.js" "text/javascript; charset=utf-8"
    "stage.js" "text/javascript; charset=utf-8"
    "viewer.js" "text/javascript; charset=utf-8"
    "words.js" "text/javascript; charset=utf-8"
    "config.json" "application/json"
    "icon.svg" "image/svg+xml"
};

/// A portrait to try the page with: the same as in `examples`. Not of the page itself: it is fetched when asked for.
pub const SAMPLE: File =
    File { name: "sample.jpg", media_type: "image/jpeg", body: include_bytes!("../site/sample.jpg") };

/// Headers that every file is to be sent with, where the page and both APIs have one origin. Scripts, styles, pictures and
/// requests are the page's own, but for pictures that it has fetched (`blob:`); nobody may frame it; no text becomes code.
pub const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(self), microphone=(), geolocation=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The page itself with its style in it, and the policy that lets that style in, for whoever sends headers with every answer: it is
/// painted without another request.
pub fn with_style_inside() -> (String, String) {
    let [page, style] = [FILES[0], FILES[1]].map(|file| String::from_utf8_lossy(file.body));
    // The page's own policy is for hosts that send none, and knows no style but that of the file.
    let page = match (page.find("<!-- What any host gets."), page.find("<meta name=\"viewport\"")) {
        (Some(from), Some(to)) => format!("{}{}", &page[..from], &page[to..]),
        _ => page.into_owned(),
    };
    let page = page.replace(STYLE_LINK, &format!("<style>{style}</style>"));
    let hash = BASE64_STANDARD.encode(Sha256::digest(style.as_bytes()));
    let (_, policy) = HEADERS[0];
    (page, policy.replace("style-src 'self'", &format!("style-src 'sha256-{hash}'")))
}

const STYLE_LINK: &str = "<link rel=\"stylesheet\" href=\"style.css\">";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.body).unwrap_or_else(|error| panic!("{}: {error}", file.name))
    }

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("site");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{error}"))
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let here: BTreeSet<String> = FILES.iter().chain([&SAMPLE]).map(|file| file.name.to_owned()).collect();
        assert_eq!(there, here);
    }

    #[test]
    fn nothing_is_inline_and_nothing_is_elsewhere() {
        let page = text(&FILES[0]);
        for inline in ["<style", "style=\"", " onclick", " onload", "javascript:", "<script>"] {
            assert!(!page.contains(inline), "{inline} in the page");
        }
        for file in &FILES {
            let text = text(file);
            // The namespace of SVG is a name; the policy names what it allows.
            let elsewhere = text.lines().filter(|line| !line.contains("Content-Security-Policy"));
            for line in elsewhere.filter(|line| line.contains("://")) {
                assert!(line.contains("http://www.w3.org/2000/svg"), "{}: {line}", file.name);
            }
        }
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let names: BTreeSet<&str> = FILES.iter().map(|file| file.name).collect();
        let mut referred = BTreeSet::new();
        for file in &FILES {
            for (before, after) in [("href=\"", '"'), ("src=\"", '"'), ("from './", '\''), ("import('./", '\'')] {
                let parts = text(file).split(before).skip(1).filter_map(|rest| rest.split(after).next());
                referred.extend(parts.filter(|name| !name.starts_with('#')));
            }
        }
        referred.extend(["index.html", "config.json"]);
        assert_eq!(referred, names);
    }

    #[test]
    fn the_style_inside_is_the_only_one_let_in() {
        assert_eq!(FILES[1].name, "style.css");
        let (page, policy) = with_style_inside();
        assert!(!page.contains("style.css") && !page.contains("Content-Security-Policy"));
        assert_eq!(page.matches("<style>").count(), 1);
        assert!(page.contains(&format!("<style>{}</style>", text(&FILES[1]))));
        assert!(policy.contains("; style-src 'sha256-") && !policy.contains("style-src 'self'"));
    }

    #[test]
    fn the_page_allows_no_more_than_the_header_but_addresses_of_apis() {
        let (_, header) = HEADERS[0];
        let page = text(&FILES[0]);
        let (_, rest) = page.split_once("http-equiv=\"Content-Security-Policy\" content=\"").unwrap_or_default();
        let (policy, _) = rest.split_once('"').unwrap_or_default();
        let elsewhere = " https: http://localhost:* http://127.0.0.1:*";
        assert!(policy.contains(elsewhere));
        // A policy in a page cannot say who may frame it.
        assert_eq!(policy.replace(elsewhere, ""), header.replace("frame-ancestors 'none'; ", ""));
    }
}
