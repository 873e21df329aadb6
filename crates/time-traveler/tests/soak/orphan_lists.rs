//! Orphans of a bucket that is too large for one run: each run goes on where the last one ended.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use lambda::{Clients, ImageProcessor, Tenancy};
use local_cloud::{Clock, Cloud, Conditions, Listeners, Stack};
use pipeline::Timestamp;
use tokio::net::TcpListener;

use crate::alone;
use crate::in_process::{config, settings, stack};

/// More portraits than the records of three requests.
const PORTRAITS: usize = 310;

#[test]
fn runs_without_time_reach_the_end_of_all_lists() {
    alone(async {
        let data = tempfile::tempdir().unwrap();
        let listener = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listeners = Listeners { aws: listener().await, api: listener().await };
        let config = config(&format!("http://{}", listeners.aws.local_addr().unwrap())).await;
        let clock = Clock::default();
        let stack = Stack {
            functions: Vec::new(),
            rules: Vec::new(),
            schedules: Vec::new(),
            subscriptions: Vec::new(),
            images: Vec::new(),
            endpoints: Vec::new(),
            http_api: Vec::new(),
            ..stack(&config, &clock, None, Tenancy::Shared)
        };
        let cloud = Cloud::start(&stack, data.path(), listeners, Conditions::default()).await.unwrap();
        let (s3, dynamodb) = (aws_sdk_s3::Client::new(&config), aws_sdk_dynamodb::Client::new(&config));
        for number in 0..PORTRAITS {
            let put = s3.put_object().bucket("time-traveler").key(format!("images/p{number:03}/f9a7fc15f5e0/0.jpg"));
            put.body(vec![1].into()).send().await.unwrap();
        }
        for key in ["inputs/p000/f9a7fc15f5e0/0", "inputs/p001-x/f9a7fc15f5e0/0", "uploads/p002"] {
            s3.put_object().bucket("portraits").key(key).body(vec![1].into()).send().await.unwrap();
        }
        // A portrait with a record, of which a status is enough here.
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = dynamodb.put_item().table_name("jobs").item("id", text("p150")).item("status", text("SUCCESS"));
        put.send().await.unwrap();

        let time = lambda::Clock::new(move || Timestamp::from_millis(clock.now_millis()));
        let processor = ImageProcessor::new(settings(), Clients::new(&config), time.clone());
        // Long after the retention of the upload.
        let now = time.now().plus_seconds(400 * 86_400);
        let mut runs = 1;
        while !processor.collect_lists(now, Duration::ZERO).await.unwrap() {
            runs += 1;
            assert!(runs < 20, "the runs do not end");
        }
        // Four portions of images, one of inputs, one of uploads, and the run that finds nothing more.
        assert_eq!(runs, 4 + 1 + 1 + 1);
        let mut kept = BTreeSet::new();
        for bucket in ["time-traveler", "portraits"] {
            let list = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
            kept.extend(list.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        assert_eq!(kept, BTreeSet::from(["images/p150/f9a7fc15f5e0/0.jpg".to_owned()]));
        // With time, one run reaches the end, and the next one begins at the beginning.
        s3.put_object()
            .bucket("time-traveler")
            .key("images/a/f9a7fc15f5e0/0.jpg")
            .body(vec![1].into())
            .send()
            .await
            .unwrap();
        assert!(processor.collect_lists(now, Duration::from_secs(600)).await.unwrap());
        let left = s3.list_objects_v2().bucket("time-traveler").send().await.unwrap();
        assert_eq!(left.key_count(), Some(1));
        cloud.stop().await;
    });
}
