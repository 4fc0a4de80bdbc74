use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::account::{Counters, Delta};
use crate::clock;
use crate::control::testing::{DEADLINE, Rig};
use crate::message::FromShard;

const CONFIG: &str = r#"
[[listeners]]
name = "web"
address = "127.0.0.1:0"

[[services]]
name = "a"
[[services.routes]]
path_prefix = "/a"
[[services.nodes]]
address = "10.0.0.1:80"
[[services.nodes]]
address = "unresolvable.invalid:80"
[[services.nodes]]
address = "10.0.0.3:80"
enabled = false

[[tenants]]
app_id = "app"
secret = "very-secret"
"#;

/// Serves the rig's engine while `client` runs.
async fn with_ops<T>(rig: &Rig, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (questions_to, mut questions) = mpsc::channel::<Question>(8);
    start(socket, questions_to).unwrap();
    let answer = async {
        while let Some(question) = questions.recv().await {
            question(&rig.engine);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = timeout(DEADLINE, client(address)) => answered.expect("an answer within the deadline"),
        () = answer => unreachable!(),
    }
}

async fn send(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    send(address, &format!("GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n")).await
}

async fn get_json(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let (status, body) = get(address, path).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

#[tokio::test]
async fn alive_at_once_and_ready_when_the_shards_are() {
    let mut rig = Rig::start(CONFIG).await;
    with_ops(&rig, async |ops| {
        assert_eq!(get(ops, "/healthz").await.0, 200);
        let (status, why) = get(ops, "/readyz").await;
        assert_eq!(status, 503);
        assert!(why.contains("shards [0, 1]"), "{why}");
    })
    .await;
    rig.apply_first();
    with_ops(&rig, async |ops| assert_eq!(get(ops, "/readyz").await.0, 200)).await;
    rig.engine.stop("SIGTERM", 143, clock::read());
    with_ops(&rig, async |ops| {
        assert_eq!(get(ops, "/healthz").await.0, 200);
        assert_eq!(get(ops, "/readyz").await.0, 503);
    })
    .await;
}

#[tokio::test]
async fn nodes_tells_states_and_why_nodes_are_absent() {
    let mut rig = Rig::start(CONFIG).await;
    let node = "10.0.0.1:80".parse().unwrap();
    rig.engine.on_report(FromShard::NodeFailed { service: "a".into(), node }, clock::read());
    let (status, nodes) = with_ops(&rig, async |ops| get_json(ops, "/api/v1/nodes").await).await;
    assert_eq!(status, 200);
    let service = &nodes["services"][0];
    assert_eq!(service["name"], "a");
    assert_eq!(service["live"], 0);
    assert_eq!(service["nodes"][0]["address"], "10.0.0.1:80");
    assert_eq!(service["nodes"][0]["live"], false);
    assert!(service["nodes"][0]["last_error"]["message"].as_str().unwrap().contains("traffic"));
    assert_eq!(service["absent"][0]["why"], "the name is not resolved");
    assert_eq!(service["absent"][1]["why"], "disabled");
    assert_ne!(nodes["listeners"][0]["address"], "127.0.0.1:0", "the real port");
}

#[tokio::test]
async fn config_has_no_secrets() {
    let mut rig = Rig::start(CONFIG).await;
    rig.reload("nonsense = 1").await;
    let (status, body) = with_ops(&rig, async |ops| get(ops, "/api/v1/config").await).await;
    assert_eq!(status, 200);
    assert!(!body.contains("very-secret"), "{body}");
    let config: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(config["revision"], 1);
    assert_eq!(config["config"]["services"][0]["name"], "a");
    assert!(config["reloads"]["last_error"].as_str().unwrap().contains("nonsense"));
}

#[tokio::test]
async fn metrics_have_what_shards_and_services_counted() {
    let mut rig = Rig::start(CONFIG).await;
    let mut counters =
        Counters { requests: 7, answers: [0, 6, 0, 0, 1], bytes_in: 70, ..Counters::default() };
    counters.endings[0][7] = 6;
    counters.endings[7][2] = 1;
    let services = vec![("a".into(), counters.clone())];
    let delta = Box::new(Delta { site: counters, services, ..Delta::default() });
    rig.engine.on_report(FromShard::Delta { shard: 1, delta }, clock::read());
    let (status, text) = with_ops(&rig, async |ops| get(ops, "/metrics").await).await;
    assert_eq!(status, 200);
    for line in [
        "# TYPE coregate_requests_total counter",
        "coregate_requests_total 7",
        "coregate_responses_total{class=\"2xx\"} 6",
        "coregate_endings_total{cause=\"done\",phase=\"complete\"} 6",
        "coregate_endings_total{cause=\"upstream_gone\",phase=\"connect\"} 1",
        "coregate_service_requests_total{service=\"a\"} 7",
        "coregate_service_endings_total{service=\"a\",cause=\"upstream_gone\"} 1",
        "coregate_service_received_bytes_total{service=\"a\"} 70",
        "coregate_node_up{service=\"a\",node=\"10.0.0.1:80\"} 1",
        "coregate_shard_connections{shard=\"1\"} 0",
        "coregate_ready 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in:\n{text}");
    }
    let mut families = std::collections::HashSet::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(families.insert(name), "{name} stands there twice");
    }
}

#[tokio::test]
async fn flow_tells_days_by_hour_and_what_was_counted() {
    let mut rig = Rig::start(CONFIG).await;
    let mut counters =
        Counters { requests: 7, answers: [0, 6, 0, 0, 1], bytes_in: 70, ..Counters::default() };
    counters.endings[0][7] = 6;
    counters.limited[1] = 1;
    let services = vec![("a".into(), counters.clone())];
    let tenants = vec![("app".into(), counters.clone())];
    let delta = Box::new(Delta { site: counters, services, tenants, ..Delta::default() });
    rig.engine.on_report(FromShard::Delta { shard: 1, delta }, clock::read());
    let (status, flow) = with_ops(&rig, async |ops| get_json(ops, "/api/v1/flow").await).await;
    assert_eq!(status, 200);
    assert_eq!((&flow["scope"], &flow["redis"]), (&json!("process"), &json!(null)));
    for subject in [&flow["site"], &flow["services"]["a"], &flow["tenants"]["app"]] {
        // Midnight may have passed since.
        let days = ["today", "yesterday"].map(|day| &subject[day]);
        let requests: u64 = days.iter().map(|day| day["requests"].as_u64().unwrap()).sum();
        assert_eq!(requests, 7, "{subject}");
        let hours = days.iter().flat_map(|day| day["hours"].as_array().unwrap());
        assert_eq!(hours.map(|hour| hour.as_u64().unwrap()).sum::<u64>(), 7);
        let total = &subject["since_start"];
        assert_eq!((&total["answers"]["2xx"], &total["bytes_in"]), (&json!(6), &json!(70)));
        assert_eq!(total["endings"]["done"]["complete"], 6);
        assert_eq!(total["limited"]["service"], 1);
        assert_eq!(
            days[0]["hours"].as_array().unwrap().len(),
            flow["today"]["hours"].as_array().unwrap().len()
        );
    }
    let (_, one) = with_ops(&rig, async |ops| get_json(ops, "/api/v1/flow?tenant=app").await).await;
    assert!(one["tenants"]["app"].is_object() && one["services"].as_object().unwrap().is_empty(), "{one}");
}

#[tokio::test]
async fn flow_of_what_does_not_exist_is_404() {
    let rig = Rig::start(CONFIG).await;
    with_ops(&rig, async |ops| {
        for query in ["service=b", "tenant=b", "service=a&tenant=b&scope=cluster"] {
            let (status, error) = get_json(ops, &format!("/api/v1/flow?{query}")).await;
            assert_eq!((status, &error["error"]["code"]), (404, &json!("not_found")), "{query}");
            assert!(error["error"]["message"].as_str().unwrap().contains("\"b\""));
        }
        let (status, error) = get_json(ops, "/api/v1/flow?scope=cluster").await;
        assert_eq!(status, 400);
        assert!(error["error"]["message"].as_str().unwrap().contains("stats.redis_url"), "{error}");
        for query in ["scope=all", "services=a"] {
            let (status, error) = get_json(ops, &format!("/api/v1/flow?{query}")).await;
            assert_eq!(status, 400, "{query}");
            assert!(error["error"]["usage"].as_str().unwrap().contains("scope="));
        }
    })
    .await;
}

#[tokio::test]
async fn flow_of_a_redis_that_is_not_there_is_503() {
    let config = format!("[stats]\nredis_url = \"redis://127.0.0.1:1\"\n{CONFIG}");
    let rig = Rig::start(&config).await;
    with_ops(&rig, async |ops| {
        let (status, error) = get_json(ops, "/api/v1/flow?scope=cluster").await;
        assert_eq!((status, &error["error"]["code"]), (503, &json!("redis_unreachable")), "{error}");
        let (status, flow) = get_json(ops, "/api/v1/flow").await;
        assert_eq!((status, &flow["redis"]["up"]), (200, &json!(false)));
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_in_json() {
    let rig = Rig::start(CONFIG).await;
    with_ops(&rig, async |ops| {
        let (status, error) = get_json(ops, "/api/v1/explain").await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("bad_request")));
        assert!(error["error"]["usage"].as_str().unwrap().contains("url="));
        let (status, error) = get_json(ops, "/api/v1/explain?url=/a&unknown=1").await;
        assert_eq!(status, 400);
        assert!(error["error"]["message"].as_str().unwrap().contains("unknown"));
        let (status, error) = get_json(ops, "/nothing").await;
        assert_eq!((status, &error["error"]["code"]), (404, &json!("not_found")));
        assert!(error["error"]["paths"]["/metrics"].is_string());
        let post = "POST /metrics HTTP/1.1\r\nhost: ops\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(send(ops, post).await.0, 405);
    })
    .await;
}

#[tokio::test]
async fn explain_answers() {
    let rig = Rig::start(CONFIG).await;
    let (status, explained) =
        with_ops(&rig, async |ops| get_json(ops, "/api/v1/explain?url=http%3A%2F%2Fx%2Fa%2Fb").await).await;
    assert_eq!(status, 200);
    assert_eq!(explained["verdict"]["outcome"], "forwarded");
    assert_eq!(explained["balancing"]["chosen"], "10.0.0.1:80");
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for_forever() {
    let rig = Rig::start(CONFIG).await;
    tokio::time::pause();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (questions_to, _questions) = mpsc::channel::<Question>(8);
    start(socket, questions_to).unwrap();
    let began = tokio::time::Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HT").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(HEADER_TIMEOUT * 3, stream.read_to_end(&mut answer)).await.expect("it was closed");
    assert!(began.elapsed() >= HEADER_TIMEOUT);
    drop(rig);
}
