//! Lifecycle configurations: checked as S3 checks them, and kept.

use s3s::dto::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, Timestamp, TimestampFormat,
};
use s3s::{S3Result, s3_error};
use uuid::Uuid;

/// The most rules of a bucket.
const MOST_RULES: usize = 1000;

/// Checks a configuration, and names the rules that have no id.
///
/// # Errors
/// A rule is not one of S3's.
pub(super) fn complete(configuration: &mut BucketLifecycleConfiguration) -> S3Result {
    let rules = &mut configuration.rules;
    if rules.is_empty() || rules.len() > MOST_RULES {
        return Err(s3_error!(
            MalformedXML,
            "a lifecycle configuration has 1 to {MOST_RULES} rules, not {}",
            rules.len()
        ));
    }
    for rule in rules.iter_mut() {
        check(rule)?;
        let id = rule.id.take().filter(|id| !id.is_empty());
        rule.id = Some(id.unwrap_or_else(|| Uuid::new_v4().to_string()));
    }
    let mut ids: Vec<_> = rules.iter().map(|rule| rule.id.as_deref()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(s3_error!(InvalidArgument, "Rule ID must be unique. Found same ID for more than one rule"));
    }
    Ok(())
}

fn check(rule: &LifecycleRule) -> S3Result {
    if rule.id.as_ref().is_some_and(|id| id.chars().count() > 255) {
        return Err(s3_error!(InvalidArgument, "ID length should not exceed allowed limit of 255"));
    }
    if ![ExpirationStatus::ENABLED, ExpirationStatus::DISABLED].contains(&rule.status.as_str()) {
        return Err(s3_error!(
            MalformedXML,
            "the Status of a rule is Enabled or Disabled, not {}",
            rule.status.as_str()
        ));
    }
    if rule.prefix.is_some() == rule.filter.is_some() {
        return Err(s3_error!(MalformedXML, "a rule has a Filter, or, of the earlier form, a Prefix"));
    }
    let has_action = rule.expiration.is_some()
        || rule.abort_incomplete_multipart_upload.is_some()
        || rule.noncurrent_version_expiration.is_some()
        || rule.transitions.as_ref().is_some_and(|list| !list.is_empty())
        || rule.noncurrent_version_transitions.as_ref().is_some_and(|list| !list.is_empty());
    if !has_action {
        return Err(s3_error!(InvalidRequest, "At least one action needs to be specified in a rule."));
    }
    if let Some(expiration) = &rule.expiration {
        check_expiration(expiration)?;
    }
    for transition in rule.transitions.iter().flatten() {
        if transition.date.is_some() == transition.days.is_some() {
            return Err(s3_error!(MalformedXML, "a Transition has a Date or Days"));
        }
        check_time("Transition", transition.date.as_ref(), transition.days.filter(|days| *days < 0))?;
    }
    let days = [
        rule.abort_incomplete_multipart_upload.as_ref().and_then(|action| action.days_after_initiation),
        rule.noncurrent_version_expiration.as_ref().and_then(|action| action.noncurrent_days),
    ];
    days.into_iter().try_for_each(|days| check_time("an action", None, days.filter(|days| *days <= 0)))
}

fn check_expiration(expiration: &LifecycleExpiration) -> S3Result {
    let LifecycleExpiration { date, days, expired_object_delete_marker } = expiration;
    let count = usize::from(date.is_some()) + usize::from(days.is_some());
    if count + usize::from(expired_object_delete_marker.is_some()) != 1 {
        return Err(s3_error!(MalformedXML, "an Expiration has a Date, Days or ExpiredObjectDeleteMarker"));
    }
    check_time("Expiration", date.as_ref(), days.filter(|days| *days <= 0))
}

/// Checks the time of an action. `bad_days` are days that it cannot have.
fn check_time(action: &str, date: Option<&Timestamp>, bad_days: Option<i32>) -> S3Result {
    if let Some(days) = bad_days {
        return Err(s3_error!(InvalidArgument, "'Days' for {action} action must be a positive integer, not {days}"));
    }
    if let Some(date) = date {
        let mut text = Vec::new();
        let is_written = date.format(TimestampFormat::DateTime, &mut text).is_ok();
        if !is_written || !text.ends_with(b"T00:00:00.000Z") {
            return Err(s3_error!(InvalidArgument, "'Date' must be at midnight GMT"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use s3s::xml::{Deserialize, Deserializer};

    use super::*;

    fn read(rules: &str) -> S3Result<BucketLifecycleConfiguration> {
        let document = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        let read = BucketLifecycleConfiguration::deserialize(&mut Deserializer::new(document.as_bytes()));
        let mut configuration = read.map_err(|error| s3_error!(MalformedXML, "{error}"))?;
        complete(&mut configuration)?;
        Ok(configuration)
    }

    #[test]
    fn rules_are_checked_and_named() {
        let rule =
            |rest: &str| format!("<Rule><Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status>{rest}</Rule>");
        let days = |days: i32| rule(&format!("<Expiration><Days>{days}</Days></Expiration>"));
        let good = read(&days(1)).unwrap();
        assert!(good.rules[0].id.as_ref().is_some_and(|id| !id.is_empty()));
        assert!(read(&rule("<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>")).is_ok());
        let named = rule("<ID>x</ID><Expiration><Days>1</Days></Expiration>");
        for bad in [
            String::new(),
            days(0),
            rule(""),
            rule("<Expiration><Date>2030-01-01T10:00:00Z</Date></Expiration>"),
            rule("<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>"),
            days(1).replace("Enabled", "enabled"),
            format!("{named}{named}"),
            rule(&format!("<ID>{}</ID><Expiration><Days>1</Days></Expiration>", "x".repeat(256))),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
