//! Images: each stands for a program that the stack declares.

use crate::stack::Image;

/// The stack declares no such image.
#[derive(Debug, thiserror::Error)]
#[error("The image \"{image}\" does not exist here: there {known}")]
pub struct NoSuchImage {
    image: String,
    known: String,
}

/// Why an image cannot run a training job.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTrainer {
    #[error(transparent)]
    NoSuchImage(#[from] NoSuchImage),
    #[error("The image \"{image}\" is for models only here: for jobs there {known}")]
    ServesOnly { image: String, known: String },
}

/// The image of a training job.
pub(super) fn find_trainer<'a>(images: &'a [Image], uri: &str) -> Result<&'a Image, NoTrainer> {
    let image = find(images, uri)?;
    if image.trains {
        return Ok(image);
    }
    let trainers: Vec<&str> =
        images.iter().filter(|image| image.trains).map(|image| image.repository.as_str()).collect();
    let known = if trainers.is_empty() { "are none".to_owned() } else { format!("is {}", trainers.join(", ")) };
    Err(NoTrainer::ServesOnly { image: uri.to_owned(), known })
}

/// The image of a URI. Only the repository's name counts, not the registry, the tag or the digest.
///
/// # Errors
/// None of `images` has this name.
pub fn find<'a>(images: &'a [Image], uri: &str) -> Result<&'a Image, NoSuchImage> {
    let repository = repository(uri);
    images.iter().find(|image| image.repository == repository).ok_or_else(|| {
        let known: Vec<&str> = images.iter().map(|image| image.repository.as_str()).collect();
        let known = if known.is_empty() { "are none".to_owned() } else { format!("is {}", known.join(", ")) };
        NoSuchImage { image: uri.to_owned(), known }
    })
}

/// `model` of `123456789012.dkr.ecr.us-east-1.amazonaws.com/team/model:latest`.
fn repository(uri: &str) -> &str {
    let without_digest = uri.split('@').next().unwrap_or_default();
    // A registry may have a port, so the path is split first.
    let last = without_digest.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Program;

    #[test]
    fn an_image_is_found_by_the_last_part_of_its_name() {
        let program =
            || Program { path: "x".into(), arg0: "x".into(), arguments: Vec::new(), environment: Default::default() };
        let images =
            ["other", "model"].map(|name| Image { repository: name.to_owned(), program: program(), trains: false });
        for uri in [
            "model",
            "model:1.2",
            "model@sha256:0123",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:latest",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/model:1.2@sha256:0123",
            "localhost:5000/model",
        ] {
            assert_eq!(find(&images, uri).unwrap().repository, "model", "{uri}");
        }
        for uri in ["", "models", "xmodel", "model/x", "x:model", "x@model", "Model"] {
            let words = find(&images, uri).unwrap_err().to_string();
            assert_eq!(words, format!("The image \"{uri}\" does not exist here: there is other, model"));
        }
        assert!(find(&[], "model").unwrap_err().to_string().ends_with("there are none"));
    }
}
