//! EventBridge schedules.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::clock::now_rfc3339;
use crate::journal::Journal;
use crate::stack::Schedule;
use crate::{ACCOUNT, REGION, queue};

/// The `detail-type` of a schedule's events.
pub(crate) const DETAIL_TYPE: &str = "Scheduled Event";

/// The longest delay of the first invocation: a restart may have left work, but new requests go first.
const FIRST: Duration = Duration::from_secs(1);

/// Invokes the function at the schedule's rate. No invocation is added while the last one is still in the queue.
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
