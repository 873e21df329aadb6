//! The object keys in the two buckets.
//!
//! | bucket | key | object |
//! |---|---|---|
//! | input  | `uploads/{portrait}` | the client's newest photograph, overwritten by the next |
//! | input  | `inputs/{portrait}/{revision}/{sequencer}` | the input copy: the photograph of one attempt, which SageMaker reads; never overwritten |
//! | output | `images/{portrait}/{revision}/{n}.jpg`, `strip.npy` | the images and the strip that clients fetch |
//! | output | `strips/{portrait}/{revision}/{sequencer}/`, `failures/` | SageMaker's answers, deleted once their job has ended |
//!
//! A portrait is written as its [`PortraitKey`]: `{id}`, or `{owner}/{id}` where tenants share the pipeline.

use crate::{PortraitKey, Revision, Sequencer};

/// Prefix of the uploads. An object that is created under it starts a job.
pub const UPLOADS: &str = "uploads/";
/// Prefix of the input copies.
pub const INPUTS: &str = "inputs/";
/// Prefix of the images.
pub const IMAGES: &str = "images/";
/// Prefix of SageMaker's output objects.
pub const STRIPS: &str = "strips/";
/// Prefix of SageMaker's failure objects.
pub const FAILURES: &str = "failures/";
/// The object metadata (`x-amz-meta-ages`) that carries the ages of an upload.
pub const AGES_METADATA: &str = "ages";
/// The object metadata (`x-amz-meta-default-ages`) by which the REST API states the ages of an upload that names none. So a later
/// change of the default changes no upload that was accepted before.
pub const DEFAULT_AGES_METADATA: &str = "default-ages";

/// The object metadata (`x-amz-meta-request`) by which the REST API names its request: the same id is in its access log.
pub const REQUEST_METADATA: &str = "request";

/// The key of a client's upload.
pub fn upload(portrait: &PortraitKey) -> String {
    format!("{UPLOADS}{portrait}")
}

/// The portrait in an upload's key, not validated; `None` for the key of another object.
pub fn uploaded(key: &str) -> Option<&str> {
    key.strip_prefix(UPLOADS)
}

/// The key of one attempt's input copy.
pub fn input(portrait: &PortraitKey, revision: &Revision, sequencer: &Sequencer) -> String {
    format!("{INPUTS}{portrait}/{revision}/{}", sequencer.short())
}

/// Prefix of all input copies of a portrait.
pub fn inputs(portrait: &PortraitKey) -> String {
    format!("{INPUTS}{portrait}/")
}

/// The revision and the sequencer in the key of an input copy.
pub fn split_input(key: &str) -> Option<(Revision, Sequencer)> {
    let (_portrait, revision, sequencer) = split(key.strip_prefix(INPUTS)?)?;
    Some((revision, Sequencer::new(sequencer)))
}

/// Portrait, revision and last part of `{portrait}/{revision}/{last}`. It is read from its end, since a portrait may have a slash.
fn split(text: &str) -> Option<(PortraitKey, Revision, &str)> {
    let (front, last) = text.rsplit_once('/')?;
    let (portrait, revision) = front.rsplit_once('/')?;
    Some((portrait.parse().ok()?, revision.parse().ok()?, last))
}

/// Prefix of all images of a portrait.
pub fn all_images(portrait: &PortraitKey) -> String {
    format!("{IMAGES}{portrait}/")
}

/// Prefix of all images of one revision of a portrait.
pub fn images(portrait: &PortraitKey, revision: &Revision) -> String {
    format!("{IMAGES}{portrait}/{revision}/")
}

/// The key of panel `n` (0: the aligned original), with its format's file extension.
pub fn panel(portrait: &PortraitKey, revision: &Revision, n: usize, extension: &str) -> String {
    format!("{IMAGES}{portrait}/{revision}/{n}.{extension}")
}

/// The key of the strip that clients fetch.
pub fn strip(portrait: &PortraitKey, revision: &Revision) -> String {
    format!("{IMAGES}{portrait}/{revision}/strip.npy")
}

/// The folder, within SageMaker's output path, of one attempt's answers. It identifies the attempt that an answer belongs to.
pub fn output_folder(input: &str) -> &str {
    input.strip_prefix(INPUTS).unwrap_or(input)
}

/// The portrait and the input copy that an answer's key names; `None` where it names none.
pub fn split_output(key: &str) -> Option<(PortraitKey, String)> {
    let (folder, _file) = key.strip_prefix(STRIPS)?.rsplit_once('/')?;
    let (portrait, _revision, _sequencer) = split(folder)?;
    Some((portrait, format!("{INPUTS}{folder}")))
}

/// The portrait whose record owns an image or an input copy; `None` for any other object.
pub fn portrait(key: &str) -> Option<PortraitKey> {
    let rest = key.strip_prefix(INPUTS).or_else(|| key.strip_prefix(IMAGES))?;
    Some(split(rest)?.0)
}

/// The portrait that a folder of images or input copies is of, such as `images/{portrait}/`.
pub fn folder_of(folder: &str) -> Option<PortraitKey> {
    let rest = folder.strip_prefix(INPUTS).or_else(|| folder.strip_prefix(IMAGES))?;
    rest.strip_suffix('/')?.parse().ok()
}

/// `s3://bucket/key`.
pub fn location(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

/// Bucket and key of an `s3://bucket/key` location.
pub fn split_location(location: &str) -> Option<(&str, &str)> {
    let (bucket, key) = location.strip_prefix("s3://")?.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        assert_eq!(split_location("s3://b/k/x.out"), Some(("b", "k/x.out")));
        assert_eq!(split_location("s3://b/"), None);
        assert_eq!(split_location("http://b/k"), None);
        assert_eq!(split_location(&location("b", "k")), Some(("b", "k")));
    }

    #[test]
    fn keys_name_the_portrait_of_an_object() {
        for text in ["ada", "ann/ada", "_00112233445566778899aabbccddeeff/ada"] {
            let portrait: PortraitKey = text.parse().unwrap();
            let revision = Revision::new("e", "20");
            let input = input(&portrait, &revision, &Sequencer::new("01"));
            assert_eq!(split_input(&input), Some((revision.clone(), Sequencer::new("01"))));
            let output = format!("{STRIPS}{}/7b8e1a52.out", output_folder(&input));
            assert_eq!(split_output(&output), Some((portrait.clone(), input.clone())));
            assert_eq!(self::portrait(&input), Some(portrait.clone()));
            assert_eq!(self::portrait(&strip(&portrait, &revision)), Some(portrait.clone()));
            assert_eq!(folder_of(&inputs(&portrait)), Some(portrait.clone()));
            assert_eq!(uploaded(&upload(&portrait)), Some(text));
            assert_eq!(self::portrait(&output), None);
        }
        for other in ["strips/7b8e1a52.out", "strips/ada/7b8e1a52.out", "failures/ada/000000000000/01/x.out", ""] {
            assert_eq!(split_output(other), None, "{other}");
        }
        for other in
            ["inputs/ada", "uploads/ada", "images/a/b/c/000000000000/0.jpg", "images/ann/../ada/000000000000/0.jpg"]
        {
            assert_eq!(self::portrait(other), None, "{other}");
        }
        assert_eq!(
            (folder_of("images/a/b/c/"), folder_of("images/ada"), folder_of("uploads/ada/")),
            (None, None, None)
        );
    }

    #[test]
    fn an_input_copy_starts_no_job() {
        let portrait: PortraitKey = "uploads".parse().unwrap();
        let key = input(&portrait, &Revision::new("e", "20"), &Sequencer::new("01"));
        assert_eq!(split_input(&key), Some((Revision::new("e", "20"), Sequencer::new("01"))));
        assert_eq!(uploaded(&key), None);
        assert_eq!(uploaded(&upload(&portrait)), Some("uploads"));
    }
}
