//! What formats cannot hold, in the words of the losses.

use crate::annotations::Sample;
use crate::{Classes, Findings};

/// What a format holds beside classes and boxes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holds {
    pub(crate) objects: bool,
    pub(crate) labels: bool,
    pub(crate) confidences: bool,
    pub(crate) crowds: bool,
    pub(crate) difficult: bool,
    pub(crate) truncated: bool,
    pub(crate) occluded: bool,
    pub(crate) depictions: bool,
    pub(crate) areas: bool,
    pub(crate) weights: bool,
    pub(crate) jobs: bool,
    pub(crate) classes_without_name: bool,
}

impl Holds {
    /// Counts what of a sample is left out.
    pub(crate) fn note(&self, sample: &Sample, classes: &Classes, findings: &mut Findings) {
        let mut loss = |held: bool, what: &str, count: usize| {
            if !held {
                findings.loss(what, count);
            }
        };
        loss(self.objects, "boxes: left out", sample.objects.len());
        loss(self.labels, "classes of a whole picture: left out", sample.labels.len());
        let sure = sample.labels.iter().filter(|label| self.labels && label.confidence.is_some()).count();
        let provenance = &sample.provenance;
        let has_job = provenance.job.is_some() || provenance.is_human.is_some() || provenance.created.is_some();
        loss(self.jobs, "pictures with the name or date of a labelling job: left out", usize::from(has_job));
        let nameless = |class| classes.get(class).is_some_and(|class| class.name.is_none());
        if !self.classes_without_name {
            let count = sample.labels.iter().filter(|label| self.labels && nameless(label.class)).count()
                + sample.objects.iter().filter(|object| self.objects && nameless(object.class)).count();
            loss(false, "annotations of a class without a name: its number is written as the name", count);
        }
        if !self.objects {
            return loss(self.confidences, "confidences: left out", sure);
        }
        let count = |has: fn(&crate::Object) -> bool| sample.objects.iter().filter(|object| has(object)).count();
        loss(self.confidences, "confidences: left out", sure + count(|object| object.confidence.is_some()));
        loss(self.crowds, "boxes of a crowd: written as one object", count(|object| object.flags.is_crowd));
        loss(
            self.difficult,
            "boxes marked as difficult: the mark is left out",
            count(|object| object.flags.is_difficult),
        );
        loss(
            self.truncated,
            "boxes marked as truncated: the mark is left out",
            count(|object| object.flags.is_truncated),
        );
        loss(self.occluded, "boxes marked as occluded: the mark is left out", count(|object| object.flags.is_occluded));
        let depicted = count(|object| object.flags.is_depiction || object.flags.is_inside);
        loss(self.depictions, "boxes of a depiction or an inside: the mark is left out", depicted);
        loss(self.areas, "areas that differ from the box: left out", count(|object| object.area.is_some()));
        loss(self.weights, "weights: left out", count(|object| object.weight.is_some()));
    }
}
