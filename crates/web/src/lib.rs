//! The embedded web page. `site/` holds the files as any static host serves them. There is no build step.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the page's address, such as `app.js`.
    pub name: &'static str,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
}

impl File {
    /// The headers to send with it: all of [`HEADERS`] with what a browser can show as a document, the last two with the rest, on
    /// which the others have no effect. They would be a seventh of the page's bytes.
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self.media_type {
            "text/html; charset=utf-8" | "image/svg+xml" => &HEADERS,
            _ => &HEADERS[4..],
        }
    }
}

macro_rules! files {
    ($($name:literal $media_type:literal)*) => {
        [$(File { name: $name, media_type: $media_type, body: include_bytes!(concat!("../site/", $name)) }),*]
    };
}

/// The files of text. The first is the page itself, the second is its style.
pub const FILES: [File; 25] = files! {
    "index.html" "text/html; charset=utf-8"
    "style.css" "text/css; charset=utf-8"
    "app.js" "text/javascript; charset=utf-8"
    "ages.js" "text/javascript; charset=utf-8"
    "animation.js" "text/javascript; charset=utf-8"
    "api.js" "text/javascript; charset=utf-8"
    "bin.js" "text/javascript; charset=utf-8"
    "camera.js" "text/javascript; charset=utf-8"
    "divider.js" "text/javascript; charset=utf-8"
    "film.js" "text/javascript; charset=utf-8"
    "gallery.js" "text/javascript; charset=utf-8"
    "intake.js" "text/javascript; charset=utf-8"
    "memory.js" "text/javascript; charset=utf-8"
    "menu.js" "text/javascript; charset=utf-8"
    "names.js" "text/javascript; charset=utf-8"
    "photo.js" "text/javascript; charset=utf-8"
    "portraits.js" "text/javascript; charset=utf-8"
    "saving.js" "text/javascript; charset=utf-8"
    "stage.js" "text/javascript; charset=utf-8"
    "still.js" "text/javascript; charset=utf-8"
    "viewer.js" "text/javascript; charset=utf-8"
    "waiting.js" "text/javascript; charset=utf-8"
    "words.js" "text/javascript; charset=utf-8"
    "config.json" "application/json"
    "manifest.json" "application/json"
};

/// The pictures, made by `make_pictures.py`. The page itself needs the icon and the sample at two ages; the sample portrait, the
/// same as in `examples`, is fetched on request, and the others are for browsers, phones and other sites.
pub const PICTURES: [File; 8] = files! {
    "icon.svg" "image/svg+xml"
    "sample-20.avif" "image/avif"
    "sample-80.avif" "image/avif"
    "sample.jpg" "image/jpeg"
    "card.jpg" "image/jpeg"
    "favicon.ico" "image/vnd.microsoft.icon"
    "icon-180.png" "image/png"
    "icon-512.png" "image/png"
};

/// The headers of a server that serves the page and both APIs from one origin. See [`File::headers`].
///
/// Scripts, styles, pictures and requests may only use that origin; fetched pictures (`blob:`) are the exception. No
/// other site may frame the page, and no text becomes code.
pub const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(self), microphone=(), geolocation=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The page with its style inline, and the policy that allows that style.
///
/// Such a page is painted without another request. The server has to send the policy as a header.
pub fn with_style_inside() -> (String, String) {
    let [page, style] = [FILES[0], FILES[1]].map(|file| String::from_utf8_lossy(file.body));
    // The policy in the page is for hosts that send none. It allows no inline style, so it is removed.
    let page = match (page.find("<!-- The policy for any host."), page.find("<meta name=\"viewport\"")) {
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
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{error}"))
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let embedded: BTreeSet<String> = FILES.iter().chain(&PICTURES).map(|file| file.name.to_owned()).collect();
        assert_eq!(on_disk, embedded);
    }

    #[test]
    fn the_page_has_no_inline_code_and_no_foreign_addresses() {
        let page = text(&FILES[0]);
        for inline in ["<style", "style=\"", " onclick", " onload", "javascript:", "<script>"] {
            assert!(!page.contains(inline), "{inline} in the page");
        }
        for file in &FILES {
            let text = text(file);
            // The namespace of SVG is only a name, and the policy lists the allowed origins.
            let lines = text.lines().filter(|line| !line.contains("Content-Security-Policy"));
            for line in lines.filter(|line| line.contains("://")) {
                assert!(line.contains("http://www.w3.org/2000/svg"), "{}: {line}", file.name);
            }
        }
    }

    #[test]
    fn every_file_is_referred_to_and_every_reference_exists() {
        let names: BTreeSet<&str> = FILES.iter().chain(&PICTURES).map(|file| file.name).collect();
        let mut referred = BTreeSet::new();
        for file in &FILES {
            for (before, after) in [
                ("href=\"", '"'),
                ("src=\"", '"'),
                ("\"src\": \"", '"'),
                ("og:image\" content=\"", '"'),
                ("from './", '\''),
                ("import('./", '\''),
                ("fetch('", '\''),
            ] {
                let parts = text(file).split(before).skip(1).filter_map(|rest| rest.split(after).next());
                referred.extend(parts.filter(|name| !name.starts_with('#')));
            }
        }
        referred.insert("index.html");
        assert_eq!(referred, names);
    }

    #[test]
    fn documents_get_the_policy_and_every_file_may_be_used_only_here() {
        for file in FILES.iter().chain(&PICTURES) {
            let names: Vec<&str> = file.headers().iter().map(|&(name, _)| name).collect();
            assert!(names.ends_with(&["x-content-type-options", "cross-origin-resource-policy"]), "{}", file.name);
            let document = [".html", ".svg"].iter().any(|end| file.name.ends_with(end));
            assert_eq!(names.contains(&"content-security-policy"), document, "{}", file.name);
        }
    }

    #[test]
    fn the_policy_allows_only_the_inline_style() {
        assert_eq!(FILES[1].name, "style.css");
        let (page, policy) = with_style_inside();
        assert!(!page.contains("style.css") && !page.contains("Content-Security-Policy"));
        assert_eq!(page.matches("<style>").count(), 1);
        assert!(page.contains(&format!("<style>{}</style>", text(&FILES[1]))));
        assert!(policy.contains("; style-src 'sha256-") && !policy.contains("style-src 'self'"));
    }

    #[test]
    fn the_policy_in_the_page_adds_only_the_addresses_of_apis_to_the_header() {
        let (_, header) = HEADERS[0];
        let page = text(&FILES[0]);
        let (_, rest) = page.split_once("http-equiv=\"Content-Security-Policy\" content=\"").unwrap_or_default();
        let (policy, _) = rest.split_once('"').unwrap_or_default();
        let apis = " https: http://localhost:* http://127.0.0.1:*";
        assert!(policy.contains(apis));
        // `frame-ancestors` has no effect in a page.
        assert_eq!(policy.replace(apis, ""), header.replace("frame-ancestors 'none'; ", ""));
    }
}
