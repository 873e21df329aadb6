//! The job that an upload should start, told apart from every other job of its id.

use pipeline::{Ages, JobView, PortraitId, Revision, Status};

/// The job that an upload should start.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(super) id: PortraitId,
    /// Of the photograph and the ages that were sent.
    revision: Revision,
    /// The job before the upload, which the API may return a little longer.
    before: Option<JobView>,
}

/// What the API has under the id of an upload.
#[derive(Debug, PartialEq)]
pub(super) enum Seen<'a> {
    /// The upload's job.
    Own(&'a JobView),
    /// The job of an earlier upload of the same photograph and ages. It had not ended when this upload was sent, and then failed or
    /// was cancelled.
    Ended(&'a JobView),
    /// The job of an earlier upload.
    Earlier,
    /// The job of another upload, which came after the job before this one.
    Newer,
    /// No job.
    Nothing,
}

impl Expected {
    /// The job of the photograph with this ETag and these ages. `before` is the id's job until the upload.
    pub(super) fn new(id: PortraitId, etag: &str, ages: &Ages, before: Option<JobView>) -> Self {
        Self { id, revision: Revision::new(etag, &ages.to_string()), before }
    }

    /// Tells whose job it is that the API returned.
    pub(super) fn compare<'a>(&self, found: Option<&'a JobView>) -> Seen<'a> {
        let Some(job) = found else { return Seen::Nothing };
        let before = self.before.as_ref();
        let is_newer = before.is_none_or(|before| before.created_at < job.created_at);
        if job.id != self.id || job.revision != self.revision {
            return if is_newer { Seen::Newer } else { Seen::Earlier };
        }
        // The same work starts anew, as another job, if it failed or was cancelled before.
        match before.filter(|_| !is_newer && matches!(job.status, Status::Failed | Status::Cancelled)) {
            Some(before) if before.status.is_final() => Seen::Earlier,
            Some(_) => Seen::Ended(job),
            None => Seen::Own(job),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(etag: &str, ages: &str, status: &str, second: u8) -> JobView {
        let moment = format!("2026-11-21T13:08:{second:02}.000Z");
        let listed: Vec<u8> = ages.parse::<Ages>().unwrap().into();
        serde_json::from_value(json!({
            "id": "ada", "revision": Revision::new(etag, ages), "status": status, "ages": listed, "model": null,
            "images": [], "error": null, "createdAt": moment, "updatedAt": moment,
        }))
        .unwrap()
    }

    fn expected(before: Option<JobView>) -> Expected {
        Expected::new("ada".parse().unwrap(), "\"e\"", &"20,40".parse().unwrap(), before)
    }

    #[test]
    fn only_the_photograph_and_the_ages_that_were_sent_are_the_job() {
        let done = job("e", "20,40", "SUCCESS", 2);
        assert_eq!(expected(None).compare(Some(&done)), Seen::Own(&done));
        for other in [job("e", "30", "SUCCESS", 1), job("e", "40,20", "SUCCESS", 1), job("f", "20,40", "SUCCESS", 1)] {
            assert_eq!(expected(Some(other.clone())).compare(Some(&other)), Seen::Earlier);
            assert_eq!(expected(Some(other.clone())).compare(Some(&done)), Seen::Own(&done));
            assert_eq!(expected(None).compare(Some(&other)), Seen::Newer);
            assert_eq!(expected(Some(job("g", "1", "SUCCESS", 0))).compare(Some(&other)), Seen::Newer);
        }
        let foreign = JobView { id: "bob".parse().unwrap(), ..done };
        assert_eq!(expected(None).compare(Some(&foreign)), Seen::Newer);
        assert_eq!(expected(None).compare(None), Seen::Nothing);
    }

    #[test]
    fn the_same_work_is_shared_until_it_fails() {
        let before = |status| expected(Some(job("e", "20,40", status, 1)));
        for status in ["SUCCESS", "PENDING", "PROCESSING"] {
            let shared = job("e", "20,40", status, 1);
            assert_eq!(before("PENDING").compare(Some(&shared)), Seen::Own(&shared));
        }
        let failed = job("e", "20,40", "FAILED", 1);
        assert_eq!(before("FAILED").compare(Some(&failed)), Seen::Earlier);
        assert_eq!(before("PROCESSING").compare(Some(&failed)), Seen::Ended(&failed));
        let anew = job("e", "20,40", "FAILED", 2);
        assert_eq!(before("FAILED").compare(Some(&anew)), Seen::Own(&anew));
    }
}
