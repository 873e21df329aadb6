//! What a client's `DELETE` does to the record of a portrait.

use crate::{Deadlines, Job, PortraitKey, Record, Timestamp, Tombstone};

/// What a `DELETE` does to the record that it has read.
///
/// The upload is removed after the record is read, and before it is written on the condition that it is unchanged. Therefore a
/// function that finds an upload after it has read the record written here, has found one that was put after the removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Another deletion is in progress, or was interrupted moments ago: nothing is to be done.
    Busy,
    /// The running job is to be recorded as cancelled.
    Cancelled(Box<Job>),
    /// The record is to be written. Then images and input copies are to be deleted, and the record is to be replaced by a complete
    /// tombstone.
    Begun(Record),
    /// No objects are left: the tombstone is to be written.
    Complete(Tombstone),
}

impl Deleted {
    /// Decides what a `DELETE` does to the current record. `has_copies`: whether the portrait has images or input copies; it counts
    /// only where there is no job.
    pub fn decide(
        id: &PortraitKey,
        current: Option<&Record>,
        has_copies: bool,
        now: Timestamp,
        deadlines: &Deadlines,
    ) -> Self {
        if current.is_some_and(|record| record.is_being_deleted(now, deadlines)) {
            return Self::Busy;
        }
        match current {
            Some(Record::Job(job)) => match job.cancelled(now) {
                Some(cancelled) => Self::Cancelled(Box::new(cancelled)),
                None => job.withdrawn(now, deadlines).map_or(Self::Busy, |withdrawn| Self::Begun(withdrawn.into())),
            },
            Some(Record::Tombstone(tombstone)) if !tombstone.is_complete() => {
                tombstone.renewed(now, deadlines).map_or(Self::Busy, |renewed| Self::Begun(renewed.into()))
            }
            _ if has_copies => Self::Begun(Tombstone::begun(id, current, now, deadlines).into()),
            _ => Self::Complete(Tombstone::complete(id, current, now)),
        }
    }
}
