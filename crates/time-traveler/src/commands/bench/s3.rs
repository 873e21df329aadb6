//! `bench s3`: PUT and GET of `up`, and of other S3 servers beside it, in turn.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use clap::Args;
use local_cloud::Durability;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::measurement::median_of;
use super::up::Up;
use crate::choice::Choice;
use crate::runtime::runtime;

/// The bucket that is made, and removed in the end.
const BUCKET: &str = "time-traveler-bench";
/// Sizes of objects in bytes, each with the number of objects of a client.
const SIZES: [(usize, usize); 2] = [(4 << 10, 64), (8 << 20, 4)];
/// Clients at the same time.
const CLIENTS: [usize; 2] = [1, 16];
/// The region in signatures.
const REGION: &str = "us-east-1";

#[derive(Debug, Args)]
pub(crate) struct BenchS3 {
    /// Address of another S3 server to measure in turn with `up`, such as http://127.0.0.1:8014. May be given several times
    #[arg(long = "endpoint", value_name = "URL")]
    endpoints: Vec<Url>,
    /// Credentials of the other servers
    #[arg(long, value_name = "ID:SECRET", default_value = "bench:bench-secret")]
    key: Key,
    /// Seconds of each measurement
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    seconds: f64,
    /// How often everything is measured. The figures are medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// What acknowledged uploads to `up` survive
    #[arg(long, value_name = "EVENT", default_value_t, value_parser = Choice::<Durability>::of(&Durability::WORDS))]
    durability: Durability,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// An access key and its secret.
#[derive(Clone, Debug)]
struct Key(String, String);

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) = text.split_once(':').ok_or("an id, a colon and a secret would work")?;
        Ok(Self(id.to_owned(), secret.to_owned()))
    }
}

/// What is measured: the method, the bytes of an object, and the clients at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    put: bool,
    size: usize,
    clients: usize,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        let sizes = SIZES.into_iter().map(|(size, _)| size);
        // A PUT comes before the GET of its objects.
        sizes.flat_map(|size| {
            CLIENTS.into_iter().flat_map(move |clients| [true, false].map(|put| Self { put, size, clients }))
        })
    }

    /// The objects of a client.
    fn objects(self) -> usize {
        SIZES.iter().find(|(size, _)| *size == self.size).map_or(1, |(_, objects)| *objects)
    }

    fn method(self) -> &'static str {
        if self.put { "PUT" } else { "GET" }
    }
}

/// A server to measure.
struct Server {
    /// The address, as the figures name it.
    name: String,
    url: Url,
    credentials: Credentials,
    http: Client,
}

pub(crate) fn run(bench: &BenchS3) -> anyhow::Result<()> {
    ensure!(bench.seconds > 0.0, "--seconds {} is no time: a number above 0 would work", bench.seconds);
    let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let up = Up::start(data.path(), bench.durability, &[])?;
    let mut servers = vec![Server::new("up", up.aws.parse()?, &bench.key)?];
    for url in &bench.endpoints {
        servers.push(Server::new(url.as_str().trim_end_matches('/'), url.clone(), &bench.key)?);
    }
    let measured = runtime()?.block_on(measured(servers.into_iter().map(Arc::new).collect(), bench))?;
    print(&measured, bench)
}

/// Requests a second, of each case and server, in the order of the servers. One value a round.
type Measured = BTreeMap<Case, Vec<(String, Vec<f64>)>>;

async fn measured(servers: Vec<Arc<Server>>, bench: &BenchS3) -> anyhow::Result<Measured> {
    for server in &servers {
        server.expect(Method::PUT, "", Bytes::new()).await?;
    }
    let mut measured = Measured::new();
    // The first round warms up, and makes every object.
    for round in 0..=bench.rounds {
        for case in Case::all() {
            for server in &servers {
                let rate = rate(server, case, Duration::from_secs_f64(bench.seconds)).await;
                let rate = rate.with_context(|| format!("{} of {} fails", case.method(), server.name))?;
                let of_case = measured.entry(case).or_default();
                match of_case.iter_mut().find(|(name, _)| *name == server.name) {
                    Some((_, rates)) => rates.push(rate),
                    None if round > 0 => of_case.push((server.name.clone(), vec![rate])),
                    None => {}
                }
            }
        }
    }
    for server in &servers {
        for case in Case::all().filter(|case| case.put) {
            for client in 0..case.clients {
                for number in 0..case.objects() {
                    server.send(Method::DELETE, &key(case, client, number), Bytes::new()).await?;
                }
            }
        }
        server.expect(Method::DELETE, "", Bytes::new()).await?;
    }
    Ok(measured)
}

fn key(case: Case, client: usize, number: usize) -> String {
    format!("/{}/{}-{client}-{number}", case.size, case.clients)
}

/// The requests a second of a case. Every object is stored at least once.
async fn rate(server: &Arc<Server>, case: Case, time: Duration) -> anyhow::Result<f64> {
    let body = Bytes::from((0..case.size).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    let (start, mut clients) = (Instant::now(), JoinSet::new());
    for client in 0..case.clients {
        let (server, body) = (Arc::clone(server), body.clone());
        clients.spawn(async move {
            let mut done = 0;
            while start.elapsed() < time || (case.put && done < case.objects()) {
                let key = key(case, client, done % case.objects());
                if case.put {
                    server.expect(Method::PUT, &key, body.clone()).await?;
                } else {
                    let found = server.expect(Method::GET, &key, Bytes::new()).await?;
                    ensure!(found == body.len(), "{key} has {found} bytes of {}", body.len());
                }
                done += 1;
            }
            Ok(done)
        });
    }
    let done: Vec<usize> = clients.join_all().await.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(done.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
}

impl Server {
    fn new(name: &str, url: Url, key: &Key) -> anyhow::Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        let credentials = Credentials::new(&key.0, &key.1, None, None, "bench");
        Ok(Self { name: name.to_owned(), url, credentials, http })
    }

    /// Sends a request for a key of the bucket, or for the bucket. Returns status and length of the answer.
    async fn send(&self, method: Method, key: &str, body: Bytes) -> anyhow::Result<(reqwest::StatusCode, usize)> {
        let mut url = self.url.clone();
        url.set_path(&format!("/{BUCKET}{key}"));
        let mut request = self.http.request(method.clone(), url.clone());
        for (name, value) in self.signature(&method, &url)? {
            request = request.header(name, value);
        }
        let mut answer = request.body(body).send().await?;
        let (status, mut length) = (answer.status(), 0);
        // The body is read as it comes, and not kept.
        while let Some(chunk) = answer.chunk().await? {
            length += chunk.len();
        }
        Ok((status, length))
    }

    async fn expect(&self, method: Method, key: &str, body: Bytes) -> anyhow::Result<usize> {
        let (status, length) = self.send(method.clone(), key, body).await?;
        ensure!(status.is_success(), "{method} /{BUCKET}{key} was answered {status}");
        Ok(length)
    }

    /// The headers of a signature that leaves the body out, as SDKs sign bodies that they stream.
    fn signature(&self, method: &Method, url: &Url) -> anyhow::Result<Vec<(&'static str, String)>> {
        let identity = self.credentials.clone().into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder().identity(&identity).region(REGION).name("s3");
        let parameters = parameters.time(SystemTime::now()).settings(settings).build()?.into();
        let host = url.authority();
        let headers = [("host", host)].into_iter();
        let request = SignableRequest::new(method.as_str(), url.as_str(), headers, SignableBody::UnsignedPayload)?;
        let (added, _) = sign(request, &parameters)?.into_parts().0.into_parts();
        Ok(added.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }
}

fn print(measured: &Measured, bench: &BenchS3) -> anyhow::Result<()> {
    if bench.json {
        let cases: Vec<Value> = measured
            .iter()
            .map(|(case, servers)| {
                let rates: BTreeMap<&str, &Vec<f64>> =
                    servers.iter().map(|(name, rates)| (name.as_str(), rates)).collect();
                json!({"method": case.method(), "bytes": case.size, "clients": case.clients, "requestsPerSecond": rates})
            })
            .collect();
        return print_line!("{}", json!({"durability": bench.durability.to_string(), "cases": cases}));
    }
    print_line!("requests a second, medians of {} rounds of {} s in turn", bench.rounds, bench.seconds)?;
    for case in Case::all() {
        let Some(servers) = measured.get(&case) else { continue };
        let medians: Vec<(&str, f64)> =
            servers.iter().map(|(name, rates)| (name.as_str(), median_of(rates.clone()))).collect();
        let own = medians.first().map_or(0.0, |(_, rate)| *rate);
        let (size, plural) = (case.size / 1024, if case.clients == 1 { "" } else { "s" });
        print_line!("{} of {size} kB, {} client{plural}", case.method(), case.clients)?;
        for (at, (name, rate)) in medians.iter().enumerate() {
            let megabytes = rate * case.size as f64 / 1e6;
            let ratio = if at == 0 { String::new() } else { format!("   up is {:.2} times as fast", own / rate) };
            print_line!("  {name:<28} {rate:>8.1} /s {megabytes:>8.1} MB/s{ratio}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_comes_before_the_get_of_its_objects() {
        let cases: Vec<Case> = Case::all().collect();
        assert_eq!(cases.len(), 8);
        for pair in cases.chunks(2) {
            assert!(pair[0].put && !pair[1].put && pair[0].size == pair[1].size && pair[0].clients == pair[1].clients);
        }
        assert!("id".parse::<Key>().is_err());
        assert_eq!("id:a:b".parse::<Key>().map(|key| key.1), Ok("a:b".to_owned()));
    }
}
