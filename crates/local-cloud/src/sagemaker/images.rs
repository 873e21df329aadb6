//! Which program an image stands for.

use crate::stack::Image;

/// There is no such image.
#[derive(Debug, thiserror::Error)]
#[error("The image \"{image}\" does not exist here: there {known}")]
pub(super) struct NoSuchImage {
    image: String,
    known: String,
}

/// The image that a URI means, whichever registry, tag or digest it names.
pub(super) fn find<'a>(images: &'a [Image], uri: &str) -> Result<&'a Image, NoSuchImage> {
    let repository = repository(uri);
    images.iter().find(|image| image.repository == repository).ok_or_else(|| {
        let known: Vec<&str> = images.iter().map(|image| image.repository.as_str()).collect();
        let known = if known.is_empty() { "are none".to_owned() } else { format!("is {}", known.join(", ")) };
        NoSuchImage { image: uri.to_owned(), known }
    })
}

/// `time-traveler` of `123456789012.dkr.ecr.us-east-1.amazonaws.com/team/time-traveler:latest`.
fn repository(uri: &str) -> &str {
    let without_digest = uri.split('@').next().unwrap_or_default();
    // A registry may have a port, so the path goes first.
    let last = without_digest.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Program;

    #[test]
    fn images_go_by_the_last_part_of_their_name() {
        let program = || Program { path: "x".into(), arg0: "x".into(), environment: Default::default() };
        let images = ["face", "age"].map(|name| Image { repository: name.to_owned(), program: program() });
        for uri in [
            "age",
            "age:1.2",
            "age@sha256:0123",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/age:latest",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/age:1.2@sha256:0123",
            "localhost:5000/age",
        ] {
            assert_eq!(find(&images, uri).unwrap().repository, "age", "{uri}");
        }
        for uri in ["", "ages", "xage", "age/other", "other:age", "other@age", "Age"] {
            let words = find(&images, uri).unwrap_err().to_string();
            assert_eq!(words, format!("The image \"{uri}\" does not exist here: there is face, age"));
        }
        assert!(find(&[], "age").unwrap_err().to_string().ends_with("there are none"));
    }
}
