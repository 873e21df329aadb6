//! EventBridge schedules.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::journal::Journal;
use crate::stack::Schedule;
use crate::{ACCOUNT, REGION, now_rfc3339, queue};

/// How an event of a schedule says that it is one.
pub(crate) const DETAIL_TYPE: &str = "Scheduled Event";

/// How long the first invocation waits, at most: after a restart there may be much to do, but what just came in goes
/// first.
const FIRST: Duration = Duration::from_secs(1);

/// Invokes the function at the schedule's rate. While an earlier invocation still waits, none is added.
pub(crate) async fn run(schedule: Schedule, journal: Arc<Journal>) {
    let clock = journal.clock();
    let after = |time: Duration| clock.now_millis() + i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2);
    let mut tick = after(FIRST.min(schedule.rate));
    let queue = queue::of_function(&schedule.function);
    let mut last = String::new();
    loop {
        clock.sleep_until(tick).await;
        tick = after(schedule.rate);
        let request_id = Uuid::new_v4().to_string();
        let invoked = journal.write(|transaction| {
            if queue::contains(transaction, &queue, &last)? {
                return Ok(false);
            }
            queue::send(transaction, &queue, &request_id, &event(&schedule), clock.now_millis(), Duration::ZERO)?;
            Ok::<_, rusqlite::Error>(true)
        });
        match invoked {
            Ok(true) => last = request_id,
            Ok(false) => {}
            Err(error) => tracing::error!(schedule = schedule.name, %error, "the schedule cannot invoke"),
        }
    }
}

/// *Creating a rule that runs on a schedule*, EventBridge User Guide.
fn event(schedule: &Schedule) -> String {
    json!({
        "version": "0",
        "id": Uuid::new_v4(),
        "detail-type": DETAIL_TYPE,
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now_rfc3339(),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", schedule.name)],
        "detail": {},
    })
    .to_string()
}
