//! The transitions of a portrait's record: uploads, claims, results, the sweep, deletions.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use pipeline::{
    Ages, Claim, Deadlines, Deleted, ErrorCode, ImageType, Job, JobError, JobView, Record, Revision, Sequencer, Status,
    Timestamp, Tombstone, Upload, Uploaded,
};
use serde_json::json;

const DEADLINES: Deadlines = Deadlines {
    claim_seconds: 30,
    pending_seconds: 600,
    processing_seconds: 900,
    first_look_seconds: 60,
    deletion_seconds: 40,
};

fn upload(sequencer: &str, etag: &str) -> Upload {
    let ages = Ages::default();
    Upload {
        id: "ada".parse().unwrap(),
        sequencer: Sequencer::new(sequencer),
        etag: etag.into(),
        revision: Revision::new(etag, &ages.to_string()),
        ages: Some(ages),
        accepted: Ok(ImageType::Png),
        request: None,
    }
}

fn claim(by: &str, seconds: i64) -> Claim {
    Claim { by: by.into(), now: Timestamp::from_millis(seconds * 1000) }
}

fn on_upload(current: Option<&Job>, upload: &Upload, claim: &Claim) -> Uploaded {
    let current = current.cloned().map(Record::from);
    upload.decide(current.as_ref(), claim, &DEADLINES)
}

fn pending(sequencer: &str, etag: &str) -> Job {
    match on_upload(None, &upload(sequencer, etag), &claim("r1", 0)) {
        Uploaded::Invoke(job) => job,
        other => panic!("{other:?}"),
    }
}

fn processing(job: &Job) -> Job {
    job.processing(Some("s3://o/1"), Some("s3://f/1"), Timestamp::from_millis(1), &DEADLINES).unwrap()
}

#[test]
fn the_newest_upload_wins_in_any_order() {
    let job = pending("02", "b");
    assert_eq!(on_upload(Some(&job), &upload("01", "a"), &claim("r2", 1)), Uploaded::Stale);
    let Uploaded::Invoke(newer) = on_upload(Some(&job), &upload("03", "c"), &claim("r3", 1)) else {
        panic!("not invoked")
    };
    assert_eq!(newer.etag, "c");
    assert_ne!(newer.revision, job.revision);
    assert_eq!(newer.created_at, Timestamp::from_millis(1000));
}

#[test]
fn the_same_work_is_invoked_once() {
    let job = pending("01", "a");
    for job in [job.clone(), processing(&job), processing(&job).success(None, "jpg", job.created_at).unwrap()] {
        let Uploaded::Same(same) = on_upload(Some(&job), &upload("02", "a"), &claim("r2", 1)) else {
            panic!("not the same: {job:?}")
        };
        assert_eq!(same, Job { sequencer: Sequencer::new("02"), ..job });
    }
}

#[test]
fn a_duplicate_event_changes_nothing() {
    let job = pending("01", "a");
    for job in [job.clone(), processing(&job), processing(&job).cancelled(job.created_at).unwrap()] {
        assert_eq!(on_upload(Some(&job), &upload("01", "a"), &claim("r2", 1)), Uploaded::Settled);
    }
}

#[test]
fn a_retry_keeps_its_claim_and_an_expired_claim_is_taken_over() {
    let job = pending("01", "a");
    assert!(matches!(on_upload(Some(&job), &upload("01", "a"), &claim("r1", 1)), Uploaded::Invoke(_)));
    assert!(matches!(on_upload(Some(&job), &upload("01", "a"), &claim("r2", 30)), Uploaded::Invoke(_)));
    assert_eq!(job.reclaim(&claim("sweep", 29), &DEADLINES), None);
    let reclaimed = job.reclaim(&claim("sweep", 30), &DEADLINES).unwrap();
    assert_eq!(reclaimed.due_at, Timestamp::from_millis(60_000));
    assert_eq!(reclaimed.reclaim(&claim("other", 31), &DEADLINES), None);
}

#[test]
fn a_failed_or_cancelled_job_starts_again_with_another_input() {
    let job = processing(&pending("01", "a"));
    let error = JobError::new(ErrorCode::ModelError, "x");
    for ended in [job.failed(error, job.created_at).unwrap(), job.cancelled(job.created_at).unwrap()] {
        let Uploaded::Invoke(again) = on_upload(Some(&ended), &upload("02", "a"), &claim("r2", 1)) else {
            panic!("not again")
        };
        assert_eq!(again.revision, job.revision);
        assert_ne!(again.input, job.input);
        assert_eq!(again.error, None);
    }
}

#[test]
fn an_unacceptable_upload_fails_at_once() {
    let error = JobError::new(ErrorCode::InvalidAges, "x");
    let bad = Upload { ages: None, accepted: Err(error.clone()), ..upload("01", "a") };
    let Uploaded::Refuse(job) = on_upload(None, &bad, &claim("r1", 0)) else { panic!("not refused") };
    assert_eq!((job.status, job.error.clone()), (Status::Failed, Some(error)));
    let view = serde_json::to_value(job.view()).unwrap();
    assert_eq!(view["ages"], json!([]));
    assert_eq!(serde_json::from_value::<JobView>(view).unwrap(), job.view());
}

#[test]
fn nothing_leaves_a_final_state() {
    let job = processing(&pending("01", "a"));
    let now = Timestamp::from_millis(5);
    let error = JobError::new(ErrorCode::Timeout, "x");
    let ends = [
        job.success(Some("sam"), "jpg", now).unwrap(),
        job.failed(error.clone(), now).unwrap(),
        job.cancelled(now).unwrap(),
    ];
    for end in ends {
        assert!(end.status.is_final() && !end.is_due(Timestamp::from_millis(i64::MAX), &DEADLINES));
        assert_eq!(end.processing(None, None, now, &DEADLINES), None);
        assert_eq!(end.success(None, "jpg", now), None);
        assert_eq!(end.failed(error.clone(), now), None);
        assert_eq!(end.cancelled(now), None);
        assert_eq!(end.reclaim(&claim("r", i64::MAX / 2000), &DEADLINES), None);
    }
    assert_eq!(job.processing(None, None, now, &DEADLINES), None, "invoked twice");
    assert!(job.is_due(job.due_at, &DEADLINES) && !job.is_due(now, &DEADLINES));
    assert_eq!(job.withdrawn(now, &DEADLINES), None, "it still runs");
}

#[test]
fn the_intervals_between_looks_double() {
    let job = processing(&pending("01", "a"));
    let at = |seconds: i64| Timestamp::from_millis(1 + seconds * 1000);
    assert!(!job.is_due(at(59), &DEADLINES) && job.is_due(at(60), &DEADLINES) && !job.is_overdue(at(60)));
    let looked = job.looked(at(70), &DEADLINES).unwrap();
    assert_eq!(looked.look_at, Some(at(140)));
    assert_eq!(looked.looked(at(300), &DEADLINES).unwrap().look_at, Some(at(600)));
    assert_eq!(looked.due_at, job.due_at, "the deadline stays");
    let late = looked.looked(at(300), &DEADLINES).unwrap().looked(at(600), &DEADLINES).unwrap();
    assert!(!late.is_due(at(899), &DEADLINES) && late.is_due(at(900), &DEADLINES) && late.is_overdue(at(900)));
    assert_eq!(job.success(None, "jpg", at(80)).unwrap().looked(at(90), &DEADLINES), None);
}

#[test]
fn a_clock_that_is_set_back_delays_no_job() {
    let yesterday = Timestamp::from_millis(0);
    let at = |seconds: i64| yesterday.plus_seconds(86_400 + seconds);
    let claim = |by: &str, now| Claim { by: by.to_owned(), now };
    let pending = Job { due_at: at(0), ..pending("01", "a") };
    assert!(pending.is_due(yesterday, &DEADLINES));
    assert!(pending.reclaim(&claim("sweep", yesterday), &DEADLINES).is_some());
    let processing = Job { look_at: Some(at(60)), due_at: at(900), ..processing(&pending) };
    assert!(processing.is_due(yesterday, &DEADLINES) && !processing.is_overdue(yesterday));
    assert!(!processing.is_due(at(0), &DEADLINES));
    let looked = processing.looked(yesterday, &DEADLINES).unwrap();
    assert_eq!(looked.look_at, Some(yesterday.plus_seconds(60)));
    let deleted = Tombstone::begun(&pending.id, None, at(0), &DEADLINES);
    assert!(deleted.renewed(yesterday, &DEADLINES).is_some());
    let record = Record::from(deleted);
    assert!(record.is_being_deleted(at(0), &DEADLINES) && !record.is_being_deleted(yesterday, &DEADLINES));
    let upload = upload("02", "a").decide(Some(&record), &claim("r", yesterday), &DEADLINES);
    assert!(matches!(upload, Uploaded::Invoke(_)), "{upload:?}");
}

#[test]
fn a_clock_that_is_set_forward_fails_no_job_at_once() {
    let tomorrow = Timestamp::from_millis(86_400_000);
    let pending = pending("01", "a");
    assert!(!pending.is_given_up(tomorrow, &DEADLINES), "nobody tried since the clock was set");
    let tried = pending.reclaim(&Claim { by: "sweep".to_owned(), now: tomorrow }, &DEADLINES).unwrap();
    assert!(tried.is_given_up(tomorrow.plus_seconds(DEADLINES.claim_seconds), &DEADLINES));
    let processing = processing(&pending);
    assert!(processing.is_due(tomorrow, &DEADLINES) && !processing.is_overdue(tomorrow));
    let looked = processing.looked(tomorrow, &DEADLINES).unwrap();
    let again = tomorrow.plus_seconds(DEADLINES.first_look_seconds);
    assert_eq!(looked.look_at, Some(again));
    assert!(looked.is_due(again, &DEADLINES) && looked.is_overdue(again));
}

#[test]
fn one_caller_deletes_and_a_new_upload_waits() {
    let job = processing(&pending("01", "a")).success(None, "jpg", Timestamp::from_millis(5)).unwrap();
    let now = Timestamp::from_millis(1000);
    let tombstone = Tombstone::begun(&job.id, None, now, &DEADLINES);
    for deleted in [job.withdrawn(now, &DEADLINES).unwrap().into(), Record::from(tombstone)] {
        assert!(!deleted.is_settled() && !deleted.is_due(now, &DEADLINES) && deleted.status() == Status::Cancelled);
        assert_eq!(deleted.withdrawn(now, &DEADLINES), None, "another caller deletes already");
        let upload = upload("02", "a");
        let Uploaded::Later(later) = upload.decide(Some(&deleted), &claim("r2", 2), &DEADLINES) else {
            panic!("not later")
        };
        let over = now.plus_seconds(40);
        assert_eq!((later.status, later.due_at), (Status::Pending, over));
        assert_eq!(later.reclaim(&claim("sweep", 40), &DEADLINES), None);
        assert!(later.reclaim(&claim("sweep", 41), &DEADLINES).is_some());
        assert_eq!(
            later.released(over, now).unwrap().reclaim(&claim("sweep", 2), &DEADLINES).unwrap().deleting_until,
            None
        );
        assert_eq!(later.released(over.plus_seconds(1), now), None, "another deletion");
        let other = self::upload("03", "b");
        let next = other.decide(Some(&later.clone().into()), &claim("r3", 3), &DEADLINES);
        assert!(matches!(next, Uploaded::Later(_)), "the next upload did not wait: {next:?}");
        let again = deleted.withdrawn(over, &DEADLINES).unwrap();
        assert!(
            deleted.is_due(over, &DEADLINES)
                && !again.is_due(over, &DEADLINES)
                && again.created_at() == deleted.created_at()
        );
        assert!(matches!(upload.decide(Some(&deleted), &claim("r2", 41), &DEADLINES), Uploaded::Invoke(_)));
    }
    let withdrawn = job.withdrawn(now, &DEADLINES).unwrap();
    assert!(
        withdrawn.is_being_deleted(now, &DEADLINES) && !withdrawn.is_being_deleted(now.plus_seconds(40), &DEADLINES)
    );
    assert!(job.is_settled());
}

#[test]
fn the_view_has_the_documented_fields() {
    let job = processing(&pending("01", "a")).success(Some("sam"), "jpg", Timestamp::from_millis(4456)).unwrap();
    let view = serde_json::to_value(job.view()).unwrap();
    let revision = job.revision.as_str();
    assert_eq!(
        view,
        json!({"id": "ada", "revision": revision, "etag": "a", "status": "SUCCESS", "ages": [20, 40, 60, 80],
            "model": "sam", "images": [
                {"age": null, "path": format!("/images/ada/{revision}/0.jpg")},
                {"age": 20, "path": format!("/images/ada/{revision}/1.jpg")},
                {"age": 40, "path": format!("/images/ada/{revision}/2.jpg")},
                {"age": 60, "path": format!("/images/ada/{revision}/3.jpg")},
                {"age": 80, "path": format!("/images/ada/{revision}/4.jpg")}],
            "error": null, "createdAt": "1970-01-01T00:00:00.000Z", "updatedAt": "1970-01-01T00:00:04.456Z"})
    );
    assert!(pending("01", "a").view().images.is_empty());
}

#[test]
fn a_tombstone_is_stored_as_a_job_without_an_etag() {
    let tombstone =
        Record::from(Tombstone::begun(&"ada".parse().unwrap(), None, Timestamp::from_millis(0), &DEADLINES));
    let stored = serde_json::to_value(tombstone.stored()).unwrap();
    assert_eq!(
        stored,
        json!({"id": "ada", "revision": Revision::new("", ""), "status": "CANCELLED", "ages": null, "model": null,
            "error": null, "extension": null, "createdAt": "1970-01-01T00:00:00.000Z",
            "updatedAt": "1970-01-01T00:00:00.000Z", "sequencer": Sequencer::new(""), "input": "", "etag": "",
            "contentType": "", "dueAt": "1970-01-01T00:00:00.000Z", "lookAt": null,
            "deletingUntil": "1970-01-01T00:00:40.000Z", "claimedBy": null, "outputLocation": null,
            "failureLocation": null})
    );
    assert_eq!(Record::from(serde_json::from_value::<Job>(stored).unwrap()), tombstone);
    let job = Record::from(pending("01", "a"));
    assert!(matches!(job, Record::Job(_)));
    assert_eq!(job.stored().map(Record::from), Some(job));
}

#[test]
fn a_delete_is_decided_by_the_record() {
    let id = "ada".parse().unwrap();
    let now = Timestamp::from_millis(1000);
    let decide = |current: Option<&Record>, has_copies| Deleted::decide(&id, current, has_copies, now, &DEADLINES);
    let complete = Tombstone::complete(&id, None, now);
    assert_eq!(decide(None, false), Deleted::Complete(complete.clone()));
    let begun = Record::from(Tombstone::begun(&id, None, now, &DEADLINES));
    assert_eq!(decide(None, true), Deleted::Begun(begun.clone()));
    assert_eq!(decide(Some(&begun), true), Deleted::Busy);
    // Each tombstone differs from the one before, even within a millisecond.
    let Deleted::Complete(again) = decide(Some(&complete.clone().into()), false) else { panic!("not complete") };
    assert!(again.is_complete() && again.updated_at > complete.updated_at);

    let running = pending("01", "a");
    let Deleted::Cancelled(cancelled) = decide(Some(&running.clone().into()), false) else { panic!("not cancelled") };
    assert_eq!((cancelled.status, cancelled.deleting_until), (Status::Cancelled, None));
    let Deleted::Begun(withdrawn) = decide(Some(&Record::Job(cancelled.clone())), false) else { panic!("not begun") };
    assert_ne!(withdrawn.job().unwrap().due_at, cancelled.due_at, "a stale write would succeed");
    assert_eq!(decide(Some(&withdrawn), false), Deleted::Busy);
}

#[test]
fn an_upload_after_a_complete_deletion_begins_at_once() {
    let complete = Record::from(Tombstone::complete(&"ada".parse().unwrap(), None, Timestamp::from_millis(1000)));
    assert!(!complete.is_settled() && !complete.is_due(Timestamp::from_millis(i64::MAX), &DEADLINES));
    assert_eq!(complete.stored(), None);
    let decision = upload("01", "a").decide(Some(&complete), &claim("r1", 1), &DEADLINES);
    assert!(matches!(decision, Uploaded::Invoke(_)), "{decision:?}");

    // A repeated event of the deleted job would begin an attempt whose results cannot be told from the deleted one's.
    let deleted = Record::from(pending("02", "a"));
    let complete = Record::from(Tombstone::complete(deleted.id(), Some(&deleted), Timestamp::from_millis(1000)));
    let decide = |sequencer| upload(sequencer, "a").decide(Some(&complete), &claim("r1", 1), &DEADLINES);
    assert_eq!((decide("01"), decide("02")), (Uploaded::Stale, Uploaded::Stale));
    assert!(matches!(decide("03"), Uploaded::Invoke(_)));
}
