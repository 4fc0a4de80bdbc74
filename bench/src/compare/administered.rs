//! The admin with a large configuration: lists and searches, and how long a change takes to be in force.
//!
//! One coregate-admin on SQLite and one engine that takes its configuration from it. What is timed is what a user sees:
//! an answer of the API, and the first request through the engine that is treated as the change says. While changes
//! come, another client asks the engine without a pause, so that a shard that stops for one would show.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use coregate::clock;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::child::Child;
use super::gateway::{Cpus, Server, beside, free_addresses, temp_dir};
use super::results::Table;
use crate::process;

/// For a command, and for a process to answer.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Requests of each kind to the API.
const ASKED: usize = 200;
/// How long the engine is asked while nothing changes, for comparison.
const QUIET: Duration = Duration::from_secs(3);

/// Measures with so many services, changed so often.
///
/// # Errors
/// A process does not run, or an answer is not what it should be.
pub async fn run(services: usize, changes: u64, cpus: Cpus) -> Result<String, String> {
    let origin = Server::origin(None, cpus).await?;
    let site = Site::start(services, origin.address, cpus).await?;
    let mut lists = Table::new(&["request", "p50 ms", "p99 ms", "largest ms", "bytes"]);
    for (what, target) in [
        ("list, first page", "/api/v1/services?page=1&per_page=50".to_owned()),
        ("list, last page, by name downwards", format!("/api/v1/services?page={}&sort=-name", services / 50)),
        ("search for one", format!("/api/v1/services?search=service_{}", services - 1)),
        ("search for nothing that is there", "/api/v1/services?search=zzzz".to_owned()),
        ("one service", "/api/v1/services/service_7".to_owned()),
    ] {
        lists.row(site.ask_often(what, &target).await?);
    }
    let quiet = site.watched(async {
        sleep(QUIET).await;
        Ok(())
    });
    let ((), quiet) = quiet.await?;
    let idle_bytes = process::resident_bytes(site.admin.id());
    let (times, busy) = site.watched(site.change_often(changes)).await?;
    let mut steps = Table::new(&["from the request to save until", "p50 ms", "largest ms"]);
    steps.row(["the API's answer".to_owned(), ms(&times.saved, 0.5), ms(&times.saved, 1.0)]);
    steps.row(["the engine serves by it".to_owned(), ms(&times.served, 0.5), ms(&times.served, 1.0)]);
    steps.row([
        "a search after that, the first".to_owned(),
        ms(&times.searched, 0.5),
        ms(&times.searched, 1.0),
    ]);
    let mut parts =
        Table::new(&["an engine, once the admin's answer is there, by its own log", "p50 ms", "largest ms"]);
    let taken = Taken::of(&site.engine.log())?;
    for (what, times) in [
        ("checks it, off the control thread", &taken.checked),
        ("compiles what has changed, on the control thread", &taken.compiled),
        ("has it in force on every shard, in all", &taken.in_force),
    ] {
        parts.row([what.to_owned(), ms(times, 0.5), ms(times, 1.0)]);
    }
    let mut requests =
        Table::new(&["requests through the engine", "count", "p50 ms", "p99 ms", "p99.9 ms", "largest ms"]);
    requests.row(latencies("while nothing changes", &quiet));
    requests.row(latencies("while the configuration changes", &busy));
    let mut memory = Table::new(&["resident memory, MiB", "before the changes", "after them"]);
    let mib = |bytes: u64| format!("{}", bytes >> 20);
    memory.row(["coregate-admin".to_owned(), mib(idle_bytes), mib(process::resident_bytes(site.admin.id()))]);
    Ok(format!(
        "One coregate-admin (SQLite, MALLOC_ARENA_MAX=1 as in its unit) with {services} services, one engine that takes its \
         configuration from it, {changes} changes of one service each.\n\n{}\n{}\n{}\n{}\n{}",
        lists.text(),
        steps.text(),
        parts.text(),
        requests.text(),
        memory.text()
    ))
}

/// The processes, and how to speak to them.
struct Site {
    admin: Child,
    engine: Child,
    api: SocketAddr,
    web: SocketAddr,
    token: String,
    _dir: TempDir,
}

/// How long changes took.
struct Times {
    saved: Histogram<u64>,
    /// A search after it, which is the first to look at what is there now.
    searched: Histogram<u64>,
    served: Histogram<u64>,
}

/// How long an engine took over the configurations that it got, as its log says.
struct Taken {
    checked: Histogram<u64>,
    compiled: Histogram<u64>,
    in_force: Histogram<u64>,
}

impl Taken {
    fn of(log: &str) -> Result<Self, String> {
        let mut taken = Self { checked: histogram(), compiled: histogram(), in_force: histogram() };
        let (mut came, mut handed) = (None, None);
        // The first one is all new.
        let first = log.find("is handed to the shards").unwrap_or_default();
        for line in log[first..].lines().skip(1) {
            let at = || -> Result<Timestamp, String> {
                let first = line.split_whitespace().next().unwrap_or_default();
                first.parse().map_err(|error| format!("a line of the log: {line}: {error}"))
            };
            if line.contains("the admin has sent a configuration") {
                came = Some(at()?);
            } else if line.contains("is handed to the shards") {
                handed = came.map(|came| at().map(|now| (came, now, took(line)))).transpose()?;
            } else if line.contains("configuration applied")
                && let Some((came, handed, compiled)) = handed.take()
            {
                let since = |earlier: Timestamp, later: Timestamp| {
                    us(later.duration_since(earlier).try_into().unwrap_or_default())
                };
                taken.checked.saturating_record(since(came, handed).saturating_sub(compiled));
                taken.compiled.saturating_record(compiled);
                taken.in_force.saturating_record(since(came, at()?));
            }
        }
        Ok(taken)
    }
}

/// Microseconds, out of `took=4.002717ms`.
fn took(line: &str) -> u64 {
    let text = line.split("took=").nth(1).unwrap_or_default();
    let digits = text.trim_end_matches(|it: char| it.is_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1e6,
        "ms" => 1e3,
        _ => 1.0,
    };
    us(Duration::from_secs_f64(digits.parse::<f64>().unwrap_or_default() * unit / 1e6))
}

impl Site {
    async fn start(services: usize, origin: SocketAddr, cpus: Cpus) -> Result<Self, String> {
        let dir = temp_dir()?;
        let [api, web, ops] = free_addresses()?;
        let program = beside("coregate-admin")?;
        let folder = |name: &str| -> Result<std::path::PathBuf, String> {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path)
        };
        let (work, engine_dir) = (folder("admin")?, folder("engine")?);
        write(&work.join("services.toml"), &configuration(services, web, origin))?;
        let command = async |args: &[&str]| {
            Child::start(&program, args, &work, cpus.load, cpus.load)?.output(PATIENCE).await
        };
        command(&["import", "file", "services.toml"]).await?;
        let token = async |role: &str| -> Result<String, String> {
            let printed = command(&["token", "--role", role, "--name", role]).await?;
            Ok(printed.split_whitespace().last().unwrap_or_default().to_owned())
        };
        let (bench, engine) = (token("admin").await?, token("engine").await?);
        let listen = api.to_string();
        // As its unit sets it; and out of the way of the client whose requests are timed, and of the origin, which have the
        // same CPU: to be nice does not suffice for that, as they would wait for its slices.
        let idle = ["MALLOC_ARENA_MAX=1", "chrt", "--idle", "0"].map(str::to_owned).into_iter();
        let args: Vec<String> =
            idle.chain([program.display().to_string(), "--listen".into(), listen]).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let admin = Child::start(Path::new("env"), &args, &work, cpus.load, cpus.load)?;
        write(&engine_dir.join("engine.token"), &engine)?;
        let own = format!(
            "[server]\ncpus = [{}]\nops_address = \"{ops}\"\naccess_log = {{ path = \"none\" }}\n\n[control]\nsource = \
             \"admin\"\nadmin_url = \"http://{api}\"\ntoken_file = \"engine.token\"\ncache_path = \"last-good.json\"\n",
            cpus.gateway
        );
        write(&engine_dir.join("coregate.toml"), &own)?;
        let args = ["--config", "coregate.toml"];
        let engine = Child::start(&beside("coregate")?, &args, &engine_dir, cpus.gateway, cpus.load)?;
        let site = Self { admin, engine, api, web, token: bench, _dir: dir };
        site.ready().await.map(|()| site)
    }

    async fn ready(&self) -> Result<(), String> {
        let deadline = clock::read() + PATIENCE;
        loop {
            let answer = match Client::connect(self.web).await {
                Ok(mut client) => client.get("/service_7/test", None).await,
                Err(why) => Err(why),
            };
            match answer {
                Ok((StatusCode::OK, _)) => return Ok(()),
                _ if clock::read() < deadline => sleep(LOOK_AGAIN).await,
                other => {
                    let (admin, engine) = (self.admin.log_tail(), self.engine.log_tail());
                    return Err(format!("the engine does not serve: {other:?}\n{admin}\n{engine}"));
                }
            }
        }
    }

    /// One row of the table of lists.
    async fn ask_often(&self, what: &str, target: &str) -> Result<[String; 5], String> {
        let mut client = Client::connect(self.api).await?;
        let mut times = histogram();
        let mut bytes = 0;
        for _ in 0..ASKED {
            let began = clock::read();
            let (status, body) = client.get(target, Some(&self.token)).await?;
            times.saturating_record(us(began.elapsed()));
            if status != StatusCode::OK {
                return Err(format!("{target}: {status}: {}", String::from_utf8_lossy(&body)));
            }
            bytes = body.len();
        }
        eprintln!("{what}: {} ms", ms(&times, 0.5));
        Ok([what.to_owned(), ms(&times, 0.5), ms(&times, 0.99), ms(&times, 1.0), bytes.to_string()])
    }

    /// Takes a service out and brings it back, so often, and waits for each to be in force.
    async fn change_often(&self, changes: u64) -> Result<Times, String> {
        let (mut api, mut web) = (Client::connect(self.api).await?, Client::connect(self.web).await?);
        let mut times = Times { saved: histogram(), searched: histogram(), served: histogram() };
        let target = "/api/v1/services/service_8";
        for round in 0..changes {
            let (_, text) = api.get(target, Some(&self.token)).await?;
            let mut seen: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            let enabled = round % 2 == 1;
            let mut body = seen["item"]["body"].take();
            body["enabled"] = json!(enabled);
            let change = json!({ "body": body, "version": seen["item"]["version"], "message": "measured" });
            let wanted = if enabled { StatusCode::OK } else { StatusCode::NOT_FOUND };
            let began = clock::read();
            let (status, text) = api.send(Method::PUT, target, Some(&self.token), change.to_string()).await?;
            times.saved.saturating_record(us(began.elapsed()));
            if status != StatusCode::OK {
                return Err(format!("PUT {target}: {status}: {}", String::from_utf8_lossy(&text)));
            }
            while web.get("/service_8/test", None).await?.0 != wanted {
                if began.elapsed() > PATIENCE {
                    return Err(format!("revision {round} is not in force after {PATIENCE:?}"));
                }
                sleep(Duration::from_millis(1)).await;
            }
            times.served.saturating_record(us(began.elapsed()));
            let began = clock::read();
            api.get("/api/v1/services?search=team", Some(&self.token)).await?;
            times.searched.saturating_record(us(began.elapsed()));
        }
        Ok(times)
    }

    /// Does something while another connection asks the engine without a pause; returns what its requests took.
    async fn watched<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<(T, Histogram<u64>), String> {
        let mut client = Client::connect(self.web).await?;
        let mut times = histogram();
        let asking = async {
            loop {
                let began = clock::read();
                match client.get("/service_7/test", None).await {
                    Ok((StatusCode::OK, _)) => times.saturating_record(us(began.elapsed())),
                    other => return format!("a request failed meanwhile: {other:?}"),
                }
                sleep(Duration::from_micros(500)).await;
            }
        };
        let done = tokio::select! {
            done = work => done?,
            why = asking => return Err(why),
        };
        Ok((done, times))
    }
}

/// One kept-alive connection.
struct Client(SendRequest<Full<Bytes>>);

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| format!("{address}: {error}"))?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    async fn get(&mut self, target: &str, token: Option<&str>) -> Result<(StatusCode, Bytes), String> {
        self.send(Method::GET, target, token, String::new()).await
    }

    async fn send(
        &mut self,
        method: Method,
        target: &str,
        token: Option<&str>,
        body: String,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(target).header("host", "bench");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.0.send_request(request).await?;
            let status = answer.status();
            Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        match timeout(PATIENCE, exchange).await {
            Ok(answer) => answer.map_err(|error: hyper::Error| format!("{target}: {error}")),
            Err(_) => Err(format!("{target}: no answer within {PATIENCE:?}")),
        }
    }
}

/// Services that differ in name and prefix, as a site's do, with two nodes, rules and a limit each.
fn configuration(services: usize, web: SocketAddr, origin: SocketAddr) -> String {
    let mut text = format!("[[listeners]]\nname = \"web\"\naddress = \"{web}\"\n");
    for index in 0..services {
        text += &format!(
            r#"
[[services]]
name = "service_{index}"
description = "team {team}, one of many"
[[services.routes]]
path_prefix = "/service_{index}"
strip_prefix = true
[services.headers]
request = [{{ set = "x-service", value = "{index}" }}]
[[services.nodes]]
address = "{origin}"
weight = 3
[[services.nodes]]
address = "{origin_host}:9"
enabled = false
[services.limits]
requests_per_second = 100000
"#,
            team = index % 40,
            origin_host = origin.ip(),
        );
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn latencies(what: &str, times: &Histogram<u64>) -> [String; 6] {
    let at = |quantile| ms(times, quantile);
    [what.to_owned(), times.len().to_string(), at(0.5), at(0.99), at(0.999), at(1.0)]
}

fn histogram() -> Histogram<u64> {
    // The bounds and three digits are valid; what takes longer than a minute counts as a minute.
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|error| unreachable!("{error}"))
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ms(times: &Histogram<u64>, quantile: f64) -> String {
    format!("{:.2}", times.value_at_quantile(quantile) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_imported_is_a_configuration() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = configuration(20, address(1), address(2));
        assert_eq!(coregate_config::parse_toml(&text, "services.toml").unwrap().services.len(), 20);
    }
}
