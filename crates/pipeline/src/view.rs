use std::iter;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Ages, Job, JobError, PortraitId, Revision, Status, Timestamp, keys};

/// A job as the HTTP API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The client's name for the portrait.
    pub id: PortraitId,
    /// Identifies the photograph and the ages.
    pub revision: Revision,
    /// ETag of the photograph, without quotes. With the ages it tells a client whether this is the job of its upload. Functions of
    /// earlier versions send none.
    #[serde(default)]
    pub etag: String,
    /// The job's state.
    pub status: Status,
    /// The ages that the client asked for; none where they could not be read, which is an empty list in JSON.
    #[serde(serialize_with = "as_list", deserialize_with = "from_list")]
    pub ages: Option<Ages>,
    /// The engine that made the images.
    pub model: Option<String>,
    /// The images, once the status is `SUCCESS`: the aligned original, then each age.
    pub images: Vec<PanelView>,
    /// Why the job failed.
    pub error: Option<JobError>,
    /// When this revision was first recorded.
    pub created_at: Timestamp,
    /// When the status last changed.
    pub updated_at: Timestamp,
}

/// One image of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelView {
    /// The age; none for the aligned original.
    pub age: Option<u8>,
    /// The path on the REST API.
    pub path: String,
}

impl Job {
    /// The job as clients see it.
    pub fn view(&self) -> JobView {
        let extension = self.extension.as_deref().unwrap_or("jpg");
        let panel = |(n, age): (usize, Option<u8>)| PanelView {
            age,
            // The gateway adds the owner.
            path: format!("/{}", keys::panel(&self.id.id().clone().into(), &self.revision, n, extension)),
        };
        let images = match self.status {
            Status::Success => {
                let ages = listed(self.ages.as_ref()).iter().copied().map(Some);
                iter::once(None).chain(ages).enumerate().map(panel).collect()
            }
            _ => Vec::new(),
        };
        JobView {
            id: self.id.id().clone(),
            revision: self.revision.clone(),
            etag: self.etag.clone(),
            status: self.status,
            ages: self.ages.clone(),
            model: self.model.clone(),
            images,
            error: self.error.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

fn listed(ages: Option<&Ages>) -> &[u8] {
    ages.map_or(&[], Ages::as_slice)
}

fn as_list<S: Serializer>(ages: &Option<Ages>, serializer: S) -> Result<S::Ok, S::Error> {
    listed(ages.as_ref()).serialize(serializer)
}

fn from_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ages>, D::Error> {
    let ages = Vec::<u8>::deserialize(deserializer)?;
    (!ages.is_empty()).then(|| Ages::try_from(ages).map_err(de::Error::custom)).transpose()
}
