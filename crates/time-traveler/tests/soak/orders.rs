//! The real handlers of an upload and of a `DELETE`, with every order of their requests to S3 and DynamoDB.
//!
//! Each request waits for its turn, in an interceptor of the SDK. A depth-first search gives the turns in every order. Two requests
//! that do not concern each other are tried in one order only.

use std::sync::{Arc, Condvar, Mutex};

use aws_config::SdkConfig;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use lambda::{Clients, ImageProcessor, JobTracker, Tenancy};
use local_cloud::{Clock, Cloud, Conditions, Listeners, Stack};
use pipeline::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::alone;
use crate::in_process::{config, settings, stack};
use crate::sabotage::{Saboteur, Without};
use crate::story::photograph;

/// image-processor and job-tracker.
const ACTORS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Working,
    Waiting(Touch),
    Ended,
}

/// What a request reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touch {
    /// The record, or else the upload.
    record: bool,
    writes: bool,
}

impl Touch {
    /// Whether the order of two requests makes a difference.
    fn concerns(self, other: Self) -> bool {
        self.record == other.record && (self.writes || other.writes)
    }
}

/// Where requests wait for their turn.
#[derive(Debug)]
struct Gate {
    states: Mutex<[State; ACTORS]>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, actor: usize, state: State) {
        self.states.lock().unwrap()[actor] = state;
        self.changed.notify_all();
    }

    /// Waits for the actor's turn.
    fn wait(&self, actor: usize, touch: Touch) {
        self.set(actor, State::Waiting(touch));
        let states = self.states.lock().unwrap();
        drop(self.changed.wait_while(states, |states| states[actor] == State::Waiting(touch)).unwrap());
    }

    /// The actors that wait, once all others have ended.
    fn waiting(&self) -> Vec<(usize, Touch)> {
        let states = self.states.lock().unwrap();
        let states = self.changed.wait_while(states, |states| states.contains(&State::Working)).unwrap();
        let waiting = states.iter().enumerate().filter_map(|(actor, state)| match state {
            State::Waiting(touch) => Some((actor, *touch)),
            State::Working | State::Ended => None,
        });
        waiting.collect()
    }
}

#[derive(Clone, Debug)]
struct Turnstile {
    gate: Arc<Gate>,
    actor: usize,
}

impl Intercept for Turnstile {
    fn name(&self) -> &'static str {
        "Turnstile"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let touch = match request.headers().get("x-amz-target") {
            Some(target) => Touch { record: true, writes: target.ends_with("PutItem") },
            // Lists of other objects concern nobody here.
            None if request.uri().contains("list-type=2") => return Ok(()),
            None => Touch { record: false, writes: request.method() == "DELETE" },
        };
        // Other tasks of this thread go on elsewhere.
        tokio::task::block_in_place(|| self.gate.wait(self.actor, touch));
        Ok(())
    }
}

fn gated(config: &SdkConfig, turnstile: &Turnstile, sabotage: Option<Without>) -> Clients {
    let clients = Clients::new(config);
    let s3 = clients.s3.config().to_builder().interceptor(turnstile.clone()).build();
    let mut dynamodb = clients.dynamodb.config().to_builder().interceptor(turnstile.clone());
    if let Some(sabotage) = sabotage {
        dynamodb = dynamodb.interceptor(Saboteur(sabotage));
    }
    Clients {
        s3: aws_sdk_s3::Client::from_conf(s3),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
        ..clients
    }
}

/// The turns of one run: for each, the choice and the number of choices.
#[derive(Default)]
struct Order {
    turns: Vec<(usize, usize)>,
    next: usize,
}

impl Order {
    fn choose(&mut self, choices: usize) -> usize {
        if self.next == self.turns.len() {
            self.turns.push((0, choices));
        }
        let (choice, known) = self.turns[self.next];
        assert_eq!(known, choices, "the same turns led to another state");
        self.next += 1;
        choice
    }

    /// Continues with the next order. False if this was the last one.
    fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, choices)) = self.turns.pop() {
            if choice + 1 < choices {
                self.turns.push((choice + 1, choices));
                return true;
            }
        }
        false
    }
}

/// What was there before the upload that is deleted.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// A failed job.
    Failed,
    /// A job that waits for the endpoint.
    Pending,
    /// A deletion.
    Deleted,
}

struct World {
    cloud: Cloud,
    s3: aws_sdk_s3::Client,
    /// Without turns.
    processor: ImageProcessor,
    tracker: JobTracker,
    gate: Arc<Gate>,
    gated_processor: Arc<ImageProcessor>,
    gated_tracker: Arc<JobTracker>,
    _data: tempfile::TempDir,
}

fn route(key: &str, id: &str) -> Value {
    json!({"routeKey": key, "pathParameters": {"id": id}})
}

impl World {
    async fn start(sabotage: Option<Without>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let config = config(&format!("http://{}", listeners.aws.local_addr().unwrap())).await;
        let clock = Clock::default();
        // The test itself delivers events. Without an endpoint, a job stays PENDING once its photograph is copied.
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
        let conditions = Conditions { clock: clock.clone(), ..Conditions::default() };
        let cloud = Cloud::start(&stack, data.path(), listeners, conditions).await.unwrap();
        let time = lambda::Clock::new(move || Timestamp::from_millis(clock.now_millis()));
        let gate = Arc::new(Gate { states: Mutex::new([State::Ended; ACTORS]), changed: Condvar::new() });
        let turnstile = |actor| Turnstile { gate: Arc::clone(&gate), actor };
        let (first, second) = (gated(&config, &turnstile(0), sabotage), gated(&config, &turnstile(1), sabotage));
        Self {
            cloud,
            s3: aws_sdk_s3::Client::new(&config),
            processor: ImageProcessor::new(settings(), Clients::new(&config), time.clone()),
            tracker: JobTracker::new(settings(), Clients::new(&config), time.clone()),
            gated_processor: Arc::new(ImageProcessor::new(settings(), first, time.clone())),
            gated_tracker: Arc::new(JobTracker::new(settings(), second, time)),
            gate,
            _data: data,
        }
    }

    /// Uploads a body. Returns its event.
    async fn put(&self, id: &str, body: Vec<u8>, sequencer: usize) -> Value {
        let (key, size) = (format!("uploads/{id}"), body.len());
        let put = self.s3.put_object().bucket("portraits").key(&key).body(body.into()).send().await.unwrap();
        let object = json!({"key": key, "size": size, "etag": put.e_tag().unwrap().trim_matches('"'),
            "sequencer": format!("{sequencer:04X}")});
        json!({"source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "portraits"}, "object": object}})
    }

    /// A request to job-tracker. Returns the status and the job's state.
    async fn ask(&self, key: &str, id: &str) -> (u64, String) {
        said(serde_json::to_value(self.tracker.handle(route(key, id)).await.unwrap()).unwrap())
    }

    /// Deletes a photograph while its event is handled. Returns the answer.
    async fn run(&self, id: &str, event: Value, order: &mut Order) -> (u64, String) {
        *self.gate.states.lock().unwrap() = [State::Working; ACTORS];
        let (processor, gate, request) =
            (Arc::clone(&self.gated_processor), Arc::clone(&self.gate), format!("of {id}"));
        let handled = tokio::spawn(async move {
            // It fails where the endpoint would have been invoked.
            let _ = processor.handle(&event, &request).await;
            gate.set(0, State::Ended);
        });
        let (tracker, gate, event) =
            (Arc::clone(&self.gated_tracker), Arc::clone(&self.gate), route("DELETE /jobs/{id}", id));
        let deleted = tokio::spawn(async move {
            let answer = tracker.handle(event).await;
            gate.set(1, State::Ended);
            answer
        });
        let mut last: Option<(usize, Touch)> = None;
        loop {
            let mut waiting = tokio::task::block_in_place(|| self.gate.waiting());
            if waiting.len() > 1
                && let Some((last, touched)) = last
            {
                // Its request waited before the last one, which would have made no difference.
                waiting.retain(|(actor, touch)| *actor >= last || touch.concerns(touched));
            }
            if waiting.is_empty() {
                break;
            }
            let turn = waiting[order.choose(waiting.len())];
            last = Some(turn);
            self.gate.set(turn.0, State::Working);
        }
        handled.await.unwrap();
        said(serde_json::to_value(deleted.await.unwrap().unwrap()).unwrap())
    }
}

fn said(answer: Value) -> (u64, String) {
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap(), body["status"].as_str().unwrap_or_default().to_owned())
}

/// Deletes an upload while its event is handled, in every order. Returns the number of orders, or what is wrong.
async fn every_order(world: &World, before: Before) -> Result<usize, String> {
    let (one, other) = (photograph([20, 50, 80]), photograph([80, 50, 20]));
    let (mut order, mut count) = (Order::default(), 0);
    loop {
        count += 1;
        let id = &format!("{before:?}-{count}");
        match before {
            Before::Nothing => {}
            Before::Failed => {
                world.processor.handle(&world.put(id, b"hello".to_vec(), 1).await, "first").await.unwrap()
            }
            Before::Pending => _ = world.processor.handle(&world.put(id, other.clone(), 1).await, "first").await,
            Before::Deleted => {
                world.put(id, other.clone(), 1).await;
                assert_eq!(world.ask("DELETE /jobs/{id}", id).await.0, 204);
            }
        }
        let event = world.put(id, one.clone(), 2).await;
        let (status, job) = world.run(id, event.clone(), &mut order).await;
        let expected = match status {
            200 => (200, "CANCELLED".to_owned()),
            _ => (404, String::new()),
        };
        let mut seen = vec![("the answer", (status, job), (if status == 200 { 200 } else { 204 }, expected.1.clone()))];
        seen.push(("afterwards", world.ask("GET /jobs/{id}", id).await, expected.clone()));
        world.processor.handle(&event, "again").await.map_err(|error| error.to_string())?;
        seen.push(("after a duplicate of the event", world.ask("GET /jobs/{id}", id).await, expected));
        // The same photograph is a new upload.
        let newer = world.put(id, one.clone(), 3).await;
        let _ = world.processor.handle(&event, "once more").await;
        let _ = world.processor.handle(&newer, "newer").await;
        seen.push(("put again", world.ask("GET /jobs/{id}", id).await, (200, "PENDING".to_owned())));
        if let Some((what, seen, expected)) = seen.into_iter().find(|(_, seen, expected)| seen != expected) {
            let turns = &order.turns;
            return Err(format!(
                "{what}: {seen:?}, not {expected:?}; before {before:?}, answer {status}, turns {turns:?}"
            ));
        }
        if !order.advance() {
            return Ok(count);
        }
    }
}

/// What [`every_order`] returns in each case.
fn orders(sabotage: Option<Without>, cases: &'static [Before]) -> Vec<Result<usize, String>> {
    alone(async move {
        let world = World::start(sabotage).await;
        // `block_in_place` needs a task: it does not work in `block_on` itself.
        let task = async move {
            let mut counts = Vec::new();
            for before in cases {
                counts.push(every_order(&world, *before).await);
            }
            world.cloud.stop().await;
            counts
        };
        tokio::spawn(task).await.unwrap()
    })
}

#[test]
fn a_deletion_holds_in_every_order_of_requests() {
    let cases = &[Before::Nothing, Before::Failed, Before::Pending, Before::Deleted];
    for (count, before) in orders(None, cases).into_iter().zip(cases) {
        println!("before {before:?}: {count:?}");
        assert!(count.unwrap() > 20, "hardly any orders were tried");
    }
}

#[test]
fn an_order_is_found_in_which_a_missing_tombstone_matters() {
    let found = orders(Some(Without::Tombstones), &[Before::Nothing]).remove(0).unwrap_err();
    println!("{found}");
}
