//! The object keys in the two buckets.
//!
//! | bucket | key | object |
//! |---|---|---|
//! | input  | `uploads/{id}` | the client's newest photograph, overwritten by the next |
//! | input  | `inputs/{id}/{revision}/{sequencer}` | the input copy: the photograph of one attempt, which SageMaker reads; never overwritten |
//! | output | `images/{id}/{revision}/{n}.jpg`, `strip.npy` | the images and the strip that clients fetch |
//! | output | `strips/{id}/{revision}/{sequencer}/`, `failures/` | SageMaker's answers, deleted once their job has ended |

use crate::{PortraitId, Revision, Sequencer};

/// Prefix of the uploads. An object that is created under it starts a job.
pub const UPLOADS: &str = "uploads/";
/// Prefix of the input copies.
pub const INPUTS: &str = "inputs/";
/// Prefix of SageMaker's output objects.
pub const STRIPS: &str = "strips/";
/// Prefix of SageMaker's failure objects.
pub const FAILURES: &str = "failures/";
/// The object metadata (`x-amz-meta-ages`) that carries the ages of an upload.
pub const AGES_METADATA: &str = "ages";
/// The object metadata (`x-amz-meta-default-ages`) by which the REST API states the ages of an upload that names none. So a later
/// change of the default changes no upload that was accepted before.
pub const DEFAULT_AGES_METADATA: &str = "default-ages";

/// The key of a client's upload.
pub fn upload(id: &PortraitId) -> String {
    format!("{UPLOADS}{id}")
}

/// The portrait id in an upload's key, not validated; `None` for the key of another object.
pub fn upload_id(key: &str) -> Option<&str> {
    key.strip_prefix(UPLOADS)
}

/// The key of one attempt's input copy.
pub fn input(id: &PortraitId, revision: &Revision, sequencer: &Sequencer) -> String {
    format!("{INPUTS}{id}/{revision}/{}", sequencer.short())
}

/// Prefix of all input copies of a portrait.
pub fn inputs(id: &PortraitId) -> String {
    format!("{INPUTS}{id}/")
}

/// The revision and the sequencer in the key of an input copy.
pub fn split_input(key: &str) -> Option<(Revision, Sequencer)> {
    let mut parts = key.strip_prefix(INPUTS)?.split('/').skip(1);
    let (revision, sequencer) = (parts.next()?, parts.next()?);
    Some((revision.parse().ok()?, Sequencer::new(sequencer)))
}

/// Prefix of all images of a portrait.
pub fn all_images(id: &PortraitId) -> String {
    format!("images/{id}/")
}

/// Prefix of all images of one revision of a portrait.
pub fn images(id: &PortraitId, revision: &Revision) -> String {
    format!("images/{id}/{revision}/")
}

/// The key of panel `n` (0: the aligned original), with its format's file extension.
pub fn panel(id: &PortraitId, revision: &Revision, n: usize, extension: &str) -> String {
    format!("images/{id}/{revision}/{n}.{extension}")
}

/// The key of the strip that clients fetch.
pub fn strip(id: &PortraitId, revision: &Revision) -> String {
    format!("images/{id}/{revision}/strip.npy")
}

/// The folder, within SageMaker's output path, of one attempt's answers. It identifies the attempt that an answer belongs to.
pub fn output_folder(input: &str) -> &str {
    input.strip_prefix(INPUTS).unwrap_or(input)
}

/// The portrait and the input copy that an answer's key names; `None` where it names none.
pub fn split_output(key: &str) -> Option<(PortraitId, String)> {
    let (folder, _file) = key.strip_prefix(STRIPS)?.rsplit_once('/')?;
    let input = format!("{INPUTS}{folder}");
    split_input(&input)?;
    let (id, _rest) = folder.split_once('/')?;
    Some((id.parse().ok()?, input))
}

/// The portrait whose record owns an image or an input copy; `None` for any other object.
pub fn owner(key: &str) -> Option<PortraitId> {
    let rest = key.strip_prefix(INPUTS).or_else(|| key.strip_prefix("images/"))?;
    rest.split_once('/')?.0.parse().ok()
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
    fn keys_name_the_owner_of_an_object() {
        let id: PortraitId = "ada".parse().unwrap();
        let revision = Revision::new("e", "20");
        let input = input(&id, &revision, &Sequencer::new("01"));
        let output = format!("{STRIPS}{}/7b8e1a52.out", output_folder(&input));
        assert_eq!(split_output(&output), Some((id.clone(), input.clone())));
        for other in ["strips/7b8e1a52.out", "strips/ada/7b8e1a52.out", "failures/ada/000000000000/01/x.out", ""] {
            assert_eq!(split_output(other), None, "{other}");
        }
        assert_eq!(owner(&input), Some(id.clone()));
        assert_eq!(owner(&strip(&id, &revision)), Some(id));
        assert_eq!((owner(&output), owner("inputs/ada"), owner("uploads/ada")), (None, None, None));
    }

    #[test]
    fn an_input_copy_starts_no_job() {
        let id: PortraitId = "uploads".parse().unwrap();
        let key = input(&id, &Revision::new("e", "20"), &Sequencer::new("01"));
        assert_eq!(split_input(&key), Some((Revision::new("e", "20"), Sequencer::new("01"))));
        assert_eq!(upload_id(&key), None);
        assert_eq!(upload_id(&upload(&id)), Some("uploads"));
    }
}
