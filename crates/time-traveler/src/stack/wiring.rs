//! Tests that the local stack and the template for AWS describe the same pipeline. Intended differences stand here, with both values.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lambda::{Settings, Tenancy, UploadLength};
use local_cloud::{Code, Function, Stack};
use pipeline::MAX_PUT_BYTES;
use pipeline::event::{self, Trigger};
use serde_json::{Value, json};

use super::template::{Resource, Template, own_name, text};
use super::{FUNCTIONS, INPUT_BUCKET, JOBS_TABLE, MODEL_SERVER, OUTPUT_BUCKET, Parts, UPLOAD_RULE, stack};

const TEMPLATE: &str = include_str!("../../../../infra/template.yaml");
const DATA: &str = include_str!("../../../../infra/data.yaml");

/// The function that verifies the tokens of another issuer.
const AUTHORIZER: &str = "authorizer";

fn template(texts: [&str; 2]) -> Template {
    template_with(texts, &[])
}

/// The templates with parameters that have other values than their defaults.
fn template_with(texts: [&str; 2], parameters: &[(&'static str, &'static str)]) -> Template {
    let chosen = [("InputBucket", INPUT_BUCKET), ("OutputBucket", OUTPUT_BUCKET), ("JobsTable", "jobs")];
    Template::read(&texts, chosen.into_iter().chain(parameters.iter().copied()).collect())
}

fn local() -> Stack {
    stack(&Parts::default()).unwrap()
}

/// Everything that is compared.
const COMPARISONS: [fn(&Stack, &Template); 7] = [
    functions_are_the_same,
    environments_are_the_same,
    triggers_are_the_same,
    endpoints_are_the_same,
    stores_are_the_same,
    rest_apis_are_the_same,
    http_apis_are_the_same,
];

#[test]
fn the_template_and_the_local_stack_are_the_same() {
    let (local, template) = (local(), template([TEMPLATE, DATA]));
    COMPARISONS.iter().for_each(|compare| compare(&local, &template));
}

#[test]
fn with_owners_they_are_the_same_too() {
    let template = template_with([TEMPLATE, DATA], &[("UserPoolArn", "arn:pool"), ("JwtAudience", "client")]);
    let local = stack(&Parts { tenancy: Tenancy::Owner, ..Parts::default() }).unwrap();
    COMPARISONS.iter().for_each(|compare| compare(&local, &template));
    assert!(differ(&self::local(), &template), "no comparison found that portraits have owners there only");
    let altered = TEMPLATE.replace("context.authorizer.claims.sub", "method.request.querystring.owner");
    let altered = template_with([&altered, DATA], &[("UserPoolArn", "arn:pool"), ("JwtAudience", "client")]);
    assert!(differ(&local, &altered), "no comparison found that a client names the owner");
}

#[test]
fn with_owners_of_another_issuer_they_are_the_same_too() {
    let parameters = [("JwtIssuer", "https://issuer.example.com"), ("JwtAudience", "client")];
    let local = stack(&Parts { tenancy: Tenancy::Owner, ..Parts::default() }).unwrap();
    let template = template_with([TEMPLATE, DATA], &parameters);
    COMPARISONS.iter().for_each(|compare| compare(&local, &template));
    for there in ["context.authorizer.claims.sub", "method.request.querystring.owner"] {
        let altered = TEMPLATE.replace("context.authorizer.owner", there);
        let altered = template_with([&altered, DATA], &parameters);
        assert!(differ(&local, &altered), "no comparison found that {there} names the owner");
    }
    let shared = template_with([TEMPLATE, DATA], &[parameters[0], parameters[1], ("Tenancy", "shared")]);
    assert!(differ(&local, &shared), "no comparison found that portraits have owners here only");
}

/// Whether any of the comparisons finds a difference.
fn differ(local: &Stack, template: &Template) -> bool {
    let finds = |compare: &fn(&Stack, &Template)| catch_unwind(AssertUnwindSafe(|| compare(local, template))).is_err();
    COMPARISONS.iter().any(finds)
}

#[test]
fn another_template_is_found_out() {
    let local = local();
    for (here, there) in [
        ("-image-processor\"\n      Description: Accepts", "-image-process\"\n      Description: Accepts"),
        ("      Timeout: 60\n", "      Timeout: 61\n"),
        ("      Timeout: 29\n", "      Timeout: 30\n"),
        ("    Default: 1769\n", "    Default: 1024\n"),
        ("MaximumRetryAttempts: 2", "MaximumRetryAttempts: 1"),
        ("-image-processor-dead-letters\"\n", "-dead-letters\"\n"),
        ("          JOBS_INDEX: newest-first\n", ""),
        ("          JOBS_TABLE: !Ref JobsTable\n", "          JOBS_TABLE: jobs-too\n"),
        ("          UPLOAD_LENGTH: !Ref UploadLength\n", "          UPLOAD_LENGTH: optional\n"),
        ("DAILY_QUOTA: !If [HasOwners, !Ref DailyQuota, 0]", "DAILY_QUOTA: !Ref DailyQuota"),
        ("          BATCH_SIZE: !Ref BatchSize\n", "          BATCH_SIZES: !Ref BatchSize\n"),
        ("    Default: float32\n", "    Default: bfloat16\n"),
        ("          TS_DEFAULT_RESPONSE_TIMEOUT: !Ref InvocationTimeoutSeconds\n", ""),
        ("DEVICE: !If [HasInferenceAmi, cuda, cpu]", "DEVICE: auto"),
        ("          OUTPUT_BUCKET: !Ref OutputBucket\n", "          OUTPUT_BUCKET: !Ref InputBucket\n"),
        ("          RUST_LOG: !Ref LogLevel\n", "          RUST_LOG: !Ref LogLevel\n          EXTRA: x\n"),
        ("    Default: \"20,40,60,80\"\n", "    Default: \"20,40,60\"\n"),
        (
            "    Default: 3600\n    Description: Seconds that an invocation may",
            "    Default: 7200\n    Description: Seconds that an invocation may",
        ),
        ("key: [{prefix: uploads/}]", "key: [{prefix: upload/}]"),
        ("rate(1 minute)", "rate(2 minutes)"),
        ("[\"rule/collect-orphans\"]", "[\"rule/orphans\"]"),
        ("SourceArn: !GetAtt SweepRule.Arn", "SourceArn: !GetAtt UploadsRule.Arn"),
        ("-face-aging-success\"", "-face-ageing-success\""),
        ("SuccessTopic: !Ref SuccessTopic", "SuccessTopic: !Ref ErrorTopic"),
        ("-face-aging\"\n      EndpointConfigName", "-face-ageing\"\n      EndpointConfigName"),
        ("    Default: 4\n", "    Default: 5\n"),
        ("ContainerStartupHealthCheckTimeoutInSeconds: 300", "ContainerStartupHealthCheckTimeoutInSeconds: 600"),
        ("s3://${OutputBucket}/strips\"", "s3://${OutputBucket}/strip\""),
        ("        - IndexName: newest-first\n", "        - IndexName: oldest-first\n"),
        ("        AttributeName: expiresAt\n", "        AttributeName: expires\n"),
        ("s3:path/${InputBucket}/uploads/{id}", "s3:path/${InputBucket}/upload/{id}"),
        ("TENANCY: !If [HasOwners, owner, shared]", "TENANCY: owner"),
        ("integration.request.header.x-amz-meta-ages", "integration.request.header.x-amz-meta-age"),
        ("x-amz-meta-default-ages: stageVariables.defaultAges", "x-amz-meta-default-ages: \"'20'\""),
        ("        defaultAges: !Ref DefaultAges\n", "        defaultAges: \"20\"\n"),
        ("x-amz-meta-request: context.requestId", "x-amz-meta-request: context.extendedRequestId"),
        ("PathPart: \"{revision}\"", "PathPart: \"{version}\""),
        ("larger than 10 MB", "larger than 20 MB"),
        ("      RouteKey: DELETE /jobs/{id}\n", "      RouteKey: DELETE /job/{id}\n"),
        ("PayloadFormatVersion: \"2.0\"", "PayloadFormatVersion: \"1.0\""),
        ("TimeoutInMillis: 30000", "TimeoutInMillis: 29000"),
    ] {
        assert!(TEMPLATE.contains(here) || DATA.contains(here), "the templates no longer have {here:?}");
        let altered = [TEMPLATE, DATA].map(|text| text.replacen(here, there, 1));
        let altered = template([&altered[0], &altered[1]]);
        assert!(differ(&local, &altered), "no comparison found {there:?}");
    }
}

#[test]
fn another_local_wiring_is_found_out() {
    let template = template([TEMPLATE, DATA]);
    let alterations: [fn(&mut Stack); 13] = [
        |stack| stack.buckets.truncate(1),
        |stack| stack.functions[0].name.push('2'),
        |stack| stack.functions[1].timeout += Duration::from_secs(1),
        |stack| stack.functions[0].retry.backoff.truncate(1),
        |stack| drop(stack.schedules.pop()),
        |stack| stack.schedules[0].rate *= 2,
        |stack| stack.rules[0].pattern["source"] = json!(["x"]),
        |stack| drop(stack.subscriptions.pop()),
        |stack| stack.endpoints[0].max_concurrent_invocations_per_instance += 1,
        |stack| stack.rest_api[0].key.push('x'),
        |stack| stack.rest_api[0].fixed_metadata[0].1.push('1'),
        |stack| stack.rest_api[0].max_body += 1,
        |stack| drop(stack.http_api.pop()),
    ];
    for (n, alter) in alterations.iter().enumerate() {
        let mut altered = local();
        alter(&mut altered);
        assert!(differ(&altered, &template), "no comparison found alteration {n}");
    }
}

fn environment(function: &Function) -> &BTreeMap<String, String> {
    match &function.code {
        Code::Program(program) => &program.environment,
        Code::InProcess(_) => unreachable!("`up` runs programs"),
    }
}

fn functions(template: &Template) -> BTreeMap<String, Resource> {
    let functions = template.resources("AWS::Serverless::Function").into_iter();
    functions.map(|function| (own_name(&function.properties["FunctionName"]), function)).collect()
}

fn functions_are_the_same(local: &Stack, template: &Template) {
    let mut remote = functions(template);
    for function in &local.functions {
        let name = &function.name;
        let Resource { properties, .. } = remote.remove(name).unwrap_or_else(|| panic!("the template has no {name}"));
        assert_eq!(properties["Timeout"], function.timeout.as_secs(), "{name}");
        assert_eq!(properties["MemorySize"], function.memory_size, "{name}");
        let code = format!("../target/lambda/{name}");
        assert_eq!((&properties["Runtime"], &properties["CodeUri"]), (&json!("provided.al2023"), &json!(code)));
        // The waits between attempts differ: AWS waits one minute, then two.
        let retries = properties["EventInvokeConfig"]["MaximumRetryAttempts"].as_u64().unwrap_or_default();
        assert_eq!(retries, function.retry.backoff.len() as u64, "{name}");
        let dead_letters = properties["DeadLetterQueue"].get("TargetArn").map(own_name);
        assert_eq!(dead_letters, function.retry.dead_letter_queue, "{name}");
    }
    // The local cloud has issued its tokens itself, and its gateway verifies them.
    remote.remove(AUTHORIZER);
    assert!(remote.is_empty(), "only the template has {:?}", remote.keys());
    let seconds = local.functions.iter().flat_map(|function| &function.retry.backoff).map(|wait| wait.as_secs());
    assert_eq!(seconds.collect::<Vec<_>>(), [1, 5]);
}

fn environments_are_the_same(local: &Stack, template: &Template) {
    let remote = functions(template);
    for function in &local.functions {
        let name = &function.name;
        let variables = remote[name].properties["Environment"]["Variables"].as_object().unwrap();
        // `up` passes on these variables of its own environment.
        let here = environment(function).keys().map(String::as_str);
        let passed_on = FUNCTIONS.iter().copied().chain(["RUST_LOG"]);
        let here: BTreeSet<&str> = here.chain(passed_on).collect();
        assert_eq!(variables.keys().map(String::as_str).collect::<BTreeSet<_>>(), here, "{name}");

        let value = |variable: &str| {
            let value = text(variables.get(variable)?);
            Some(value.strip_prefix("stack-").map_or(value.clone(), str::to_owned))
        };
        let [there, here] = [
            Settings::read(value).unwrap(),
            Settings::read(|variable| environment(function).get(variable).cloned()).unwrap(),
        ];
        // On AWS, an upload needs its length, since the operator pays for what S3 takes.
        assert_eq!((there.upload_length, here.upload_length), (UploadLength::Required, UploadLength::Optional));
        // There, each owner has a quota, since the operator pays for the model.
        let quota = if there.tenancy == Tenancy::Owner { 100 } else { 0 };
        assert_eq!((there.daily_quota, here.daily_quota), (quota, 0));
        let here = Settings { upload_length: there.upload_length, daily_quota: there.daily_quota, ..here };
        assert_eq!(format!("{there:?}"), format!("{here:?}"), "{name}");
        for (variable, here) in environment(function) {
            assert_eq!(value(variable).as_ref(), Some(here), "{name} {variable}");
        }
    }
}

fn triggers_are_the_same(local: &Stack, template: &Template) {
    let permissions = template.resources("AWS::Lambda::Permission");
    let may = |function: &str, source: &str| {
        let is = |permission: &&Resource| {
            own_name(&permission.properties["FunctionName"]) == function
                && permission.properties["SourceArn"].as_str().unwrap().contains(source)
        };
        assert!(permissions.iter().any(|permission| is(&permission)), "{source} may not invoke {function}");
    };
    let (schedules, rules): (Vec<_>, Vec<_>) = template
        .resources("AWS::Events::Rule")
        .into_iter()
        .partition(|rule| rule.properties["ScheduleExpression"].is_string());
    let targets = |rule: &Resource| -> Vec<String> {
        rule.properties["Targets"].as_array().unwrap().iter().map(|target| own_name(&target["Arn"])).collect()
    };

    assert_eq!(rules.len(), local.rules.len());
    for (there, here) in rules.iter().zip(&local.rules) {
        assert_eq!((own_name(&there.properties["Name"]), targets(there)), (here.name.clone(), here.functions.clone()));
        assert_eq!(there.properties["EventPattern"], here.pattern);
        assert_eq!(here.pattern, serde_json::from_str::<Value>(UPLOAD_RULE).unwrap());
        may(&here.functions[0], there.properties["Name"].as_str().unwrap());
    }

    // The rates differ: frequent scans cost nothing on one machine.
    let rates = BTreeMap::from([("sweep", (10, "rate(1 minute)")), (event::ORPHANS, (600, "rate(1 hour)"))]);
    let there: BTreeMap<String, &Resource> =
        schedules.iter().map(|rule| (own_name(&rule.properties["Name"]), rule)).collect();
    assert_eq!(there.keys().map(String::as_str).collect::<Vec<_>>(), rates.keys().copied().collect::<Vec<_>>());
    assert_eq!(local.schedules.len(), rates.len());
    for here in &local.schedules {
        let (rule, (seconds, expression)) = (there[&here.name], rates[here.name.as_str()]);
        assert_eq!((here.rate.as_secs(), &rule.properties["ScheduleExpression"]), (seconds, &json!(expression)));
        assert_eq!(targets(rule), std::slice::from_ref(&here.function));
        may(&here.function, rule.properties["Name"].as_str().unwrap());
        let event = serde_json::from_str(rule.properties["Targets"][0]["Input"].as_str().unwrap()).unwrap();
        let triggers = event::triggers(&event).unwrap();
        let understood = match &triggers[..] {
            [Ok(Trigger::Sweep)] => "sweep",
            [Ok(Trigger::CollectOrphans)] => event::ORPHANS,
            other => panic!("{other:?}"),
        };
        assert_eq!(understood, here.name);
    }

    let mut subscriptions: Vec<(String, String)> = Vec::new();
    for subscription in template.resources("AWS::SNS::Subscription") {
        let (topic, function) = (&subscription.properties["TopicArn"], &subscription.properties["Endpoint"]);
        assert_eq!(subscription.properties["Protocol"], "lambda");
        may(&own_name(function), topic.as_str().unwrap());
        subscriptions.push((own_name(topic), own_name(function)));
    }
    let mut here: Vec<(String, String)> =
        local.subscriptions.iter().map(|here| (here.topic.clone(), here.function.clone())).collect();
    subscriptions.sort();
    here.sort();
    assert_eq!(subscriptions, here);
}

fn endpoints_are_the_same(local: &Stack, template: &Template) {
    let [here] = &local.endpoints[..] else { panic!("{} endpoints", local.endpoints.len()) };
    let there = template.resource("AWS::SageMaker::Endpoint").properties;
    assert_eq!(own_name(&there["EndpointName"]), here.name);
    let config = template.resource("AWS::SageMaker::EndpointConfig").properties;
    let variant = &config["ProductionVariants"][0];
    assert_eq!(variant["ContainerStartupHealthCheckTimeoutInSeconds"], here.startup_timeout.as_secs());
    let asynchronous = &config["AsyncInferenceConfig"];
    let at_once = &asynchronous["ClientConfig"]["MaxConcurrentInvocationsPerInstance"];
    assert_eq!(at_once, here.max_concurrent_invocations_per_instance);
    let output = &asynchronous["OutputConfig"];
    for (there, here) in [("S3OutputPath", &here.s3_output_path), ("S3FailurePath", &here.s3_failure_path)] {
        // SageMaker adds the slash.
        assert_eq!(output[there], here.trim_end_matches('/'));
    }
    let topics = &output["NotificationConfig"];
    assert_eq!(Some(own_name(&topics["SuccessTopic"])), here.success_topic);
    assert_eq!(Some(own_name(&topics["ErrorTopic"])), here.error_topic);
    let model = template.resource("AWS::SageMaker::Model").properties;
    let there = model["PrimaryContainer"]["Environment"].as_object().unwrap();
    let there: BTreeMap<String, String> = there.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    model_servers_are_the_same(&here.environment, there);
}

/// Compares the environments of the model server. `up` passes on more variables of its own environment, where they are set.
fn model_servers_are_the_same(here: &BTreeMap<String, String>, mut there: BTreeMap<String, String>) {
    let passed_on = there.keys().filter(|name| MODEL_SERVER.contains(&name.as_str())).cloned().collect::<BTreeSet<_>>();
    let given: BTreeSet<String> = there.keys().cloned().collect();
    assert_eq!(given, here.keys().cloned().chain(passed_on).collect());
    // On AWS, a GPU that is paid for has to be used. One machine takes what it has.
    assert_eq!(there.insert("DEVICE".to_owned(), "auto".to_owned()).as_deref(), Some("cuda"));
    let timeouts = ["TS_DEFAULT_RESPONSE_TIMEOUT", "MODEL_SERVER_TIMEOUT"].map(|name| there.get(name).cloned());
    assert_eq!(timeouts, [const { Some("900") }; 2].map(|seconds| seconds.map(str::to_owned)));
    let [there, here] = [there, here.clone()].map(|variables| {
        let variables = variables.into_iter().collect();
        let server = container::Settings::read(&variables).unwrap();
        (server, container::handlers::face_aging::Settings::read(&variables).unwrap())
    });
    assert_eq!(format!("{there:?}"), format!("{here:?}"));
}

fn stores_are_the_same(local: &Stack, template: &Template) {
    assert_eq!(template.resources("AWS::S3::Bucket").len(), local.buckets.len());
    let [table] = &local.tables[..] else { panic!("{} tables", local.tables.len()) };
    let there = template.resource("AWS::DynamoDB::Table").properties;
    assert_eq!(table.create, serde_json::from_str::<Value>(JOBS_TABLE).unwrap());
    for (name, here) in table.create.as_object().unwrap() {
        match name.as_str() {
            // CloudFormation chooses the table's name.
            "TableName" => assert_eq!(there.get(name), None),
            _ => assert_eq!(there[name], *here, "{name}"),
        }
    }
    let time_to_live = &there["TimeToLiveSpecification"];
    assert_eq!((&time_to_live["AttributeName"], &time_to_live["Enabled"]), (&json!(table.time_to_live), &json!(true)));
}

/// The path of a resource of the REST API.
fn path(resources: &BTreeMap<String, Resource>, id: &str) -> String {
    let Some(resource) = resources.get(id) else { return String::new() };
    let parent = path(resources, resource.properties["ParentId"].as_str().unwrap());
    format!("{parent}/{}", resource.properties["PathPart"].as_str().unwrap())
}

fn rest_apis_are_the_same(local: &Stack, template: &Template) {
    let resources = template.resources("AWS::ApiGateway::Resource").into_iter();
    let resources: BTreeMap<String, Resource> = resources.map(|resource| (resource.id.clone(), resource)).collect();
    // The template has preflight methods with a `PageOrigin` only. `up` answers preflights without methods.
    let methods = template.resources("AWS::ApiGateway::Method");
    let stage = template.resource("AWS::ApiGateway::Stage").properties;
    assert_eq!(methods.len(), local.rest_api.len());
    for here in &local.rest_api {
        // The local cloud refuses an id with a slash by a message. On AWS, such a path has no resource.
        let here_path = here.path.replace("{id+}", "{id}");
        let is = |method: &&Resource| {
            let resource = method.properties["ResourceId"].as_str().unwrap();
            method.properties["HttpMethod"] == here.method.as_str() && path(&resources, resource) == here_path
        };
        let method =
            methods.iter().find(is).unwrap_or_else(|| panic!("the template has no {} {here_path}", here.method));
        let integration = &method.properties["Integration"];
        let uri = format!("arn:Partition:apigateway:Region:s3:path/{}/{}", here.bucket, here.key);
        assert_eq!((&integration["Uri"], &integration["Type"]), (&json!(uri), &json!("AWS")));
        assert_eq!(integration["IntegrationHttpMethod"], here.method.as_str());
        let requests = integration["RequestParameters"].as_object().unwrap();
        let metadata = requests.iter().filter_map(|(to, from)| {
            let name = to.strip_prefix("integration.request.header.x-amz-meta-")?;
            Some((from.as_str()?.strip_prefix("method.request.querystring.")?.to_owned(), name.to_owned()))
        });
        assert_eq!(metadata.collect::<Vec<_>>(), here.metadata);
        let fixed = requests.iter().filter_map(|(to, from)| {
            let name = to.strip_prefix("integration.request.header.x-amz-meta-")?;
            let value = &stage["Variables"][from.as_str()?.strip_prefix("stageVariables.")?];
            Some((name.to_owned(), value.as_str()?.to_owned()))
        });
        assert_eq!(fixed.collect::<Vec<_>>(), here.fixed_metadata);
        // The id of the request goes along.
        let request =
            here.request_metadata.as_ref().map(|name| format!("integration.request.header.x-amz-meta-{name}"));
        let ids = requests.iter().filter(|(_, from)| *from == "context.requestId").map(|(to, _)| to.clone());
        assert_eq!(ids.collect::<Vec<_>>(), request.into_iter().collect::<Vec<_>>());
        let names = here_path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for name in names {
            let from = format!("method.request.path.{name}");
            assert_eq!(requests[&format!("integration.request.path.{name}")], json!(from));
        }
        // With owners, both have them by the token alone.
        let owner = requests.get("integration.request.path.owner").and_then(Value::as_str);
        let (kind, said) = if functions(template).contains_key(AUTHORIZER) {
            ("CUSTOM", "context.authorizer.owner")
        } else {
            ("COGNITO_USER_POOLS", "context.authorizer.claims.sub")
        };
        assert_eq!(owner, local.authorizer.as_ref().map(|_| said));
        assert_eq!(method.properties["AuthorizationType"] == kind, local.authorizer.is_some());
        // API Gateway's own limit is 10 MB.
        assert_eq!(here.max_body, if here.method == "PUT" { 10 << 20 } else { 0 });
    }
    let too_large = template.resource("AWS::ApiGateway::GatewayResponse").properties;
    assert_eq!(too_large["ResponseType"], "REQUEST_TOO_LARGE");
    let said = format!("larger than {} MB", MAX_PUT_BYTES >> 20);
    assert!(too_large["ResponseTemplates"]["application/json"].as_str().unwrap().contains(&said));
}

fn http_apis_are_the_same(local: &Stack, template: &Template) {
    let integration = template.resource("AWS::ApiGatewayV2::Integration");
    let function = own_name(&integration.properties["IntegrationUri"]);
    assert_eq!(integration.properties["PayloadFormatVersion"], "2.0");
    let routes: BTreeSet<(String, String)> = template
        .resources("AWS::ApiGatewayV2::Route")
        .iter()
        .map(|route| {
            assert_eq!(route.properties["Target"], format!("integrations/{}", integration.id));
            (route.properties["RouteKey"].as_str().unwrap().to_owned(), function.clone())
        })
        .collect();
    let here = local.http_api.iter().map(|here| (format!("{} {}", here.method, here.path), here.function.clone()));
    assert_eq!(routes, here.collect());
    let answering = local.functions.iter().find(|here| here.name == function).unwrap();
    let patience = integration.properties["TimeoutInMillis"].as_u64().unwrap();
    assert!(answering.timeout.as_millis() < u128::from(patience) && patience <= 30_000);
    assert!(pipeline::MAX_WAIT_SECONDS < answering.timeout.as_secs());
}
