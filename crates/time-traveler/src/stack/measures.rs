//! What the metrics say of jobs.

use local_cloud::Measures;
use pipeline::Status;

/// The measures of the table of jobs.
pub(super) fn jobs(table: &str) -> Measures {
    let metric = |name: &str, help: &str| (name.to_owned(), help.to_owned());
    let names = |statuses: &[Status]| statuses.iter().map(|status| status.as_str().to_owned()).collect::<Vec<_>>();
    let open: Vec<Status> = Status::ALL.into_iter().filter(|status| !status.is_final()).collect();
    Measures {
        table: table.to_owned(),
        attribute: "status".to_owned(),
        values: names(&Status::ALL),
        waiting: names(&open),
        moment: "createdAt".to_owned(),
        items: metric("time_traveler_jobs", "Jobs that the table has, by status"),
        changes: metric("time_traveler_job_changes", "How often a job came into a status, since the data folder began"),
        oldest: metric(
            "time_traveler_oldest_open_job_age",
            "Time since the upload of the oldest job that has not ended",
        ),
    }
}
