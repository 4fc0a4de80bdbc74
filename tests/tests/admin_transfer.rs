//! Import and export by the API: a whole file as one revision or not at all, errors with their line, and what comes out goes
//! in again.

use coregate_tests::{Admin, AdminClient, Authority, Told};
use serde_json::{Value, json};

const FILE: &str = r#"
[server]
ops_address = "127.0.0.1:9901"

[[listeners]]
name = "web"
address = "127.0.0.1:8080"

[[services]]
name = "orders"
[[services.routes]]
path_prefix = "/orders"
[[services.nodes]]
address = "127.0.0.1:9000"
weight = 3

[[tenants]]
app_id = "shop"
name = "The shop"
secret = "do-not-show-me"
"#;

/// Bytes of a body that `POST /import` takes.
const BODY_BYTES_MAX: usize = 64 << 20;

#[track_caller]
fn import(who: &AdminClient, toml: &str) -> Told {
    who.post("/import", &json!({ "toml": toml }))
}

/// What is in force as a file, without the line that says when.
#[track_caller]
fn export(who: &AdminClient) -> String {
    let text = who.get("/export").expect(200).text();
    text.split_once('\n').expect("lines").1.to_owned()
}

fn changed(report: &Value) -> Vec<String> {
    let changes = report["changes"].as_array().expect("changes").iter();
    let text = |it: &Value| it.as_str().expect("a text").to_owned();
    changes.map(|it| [&it["action"], &it["kind"], &it["name"]].map(text).join(" ")).collect()
}

#[test]
fn a_file_is_one_revision_and_goes_in_once() {
    let admin = Admin::start();
    let operator = admin.program("operator");
    let body = json!({ "toml": FILE, "message": "what we had" });
    let report = operator.post("/import", &body).expect(200).json();
    assert_eq!(changed(&report), ["create listener web", "create service orders", "create tenant shop"]);
    assert_eq!(report["warnings"][0]["where"], "[server]", "{report}");
    let revision = operator.get("/revisions/1").expect(200).json();
    assert_eq!(report["revision"]["id"], 1);
    assert_eq!((&revision["cause"], &revision["message"]), (&json!("import"), &json!("what we had")));
    assert_eq!(revision["author"], "token:test-operator");
    let again = import(&operator, FILE).expect(200).json();
    assert_eq!(
        (&again["changes"], &again["unchanged"], &again["revision"]),
        (&json!([]), &json!(3), &Value::Null)
    );
    assert_eq!(operator.get("/revisions").expect(200).json()["total"], 1);
}

#[test]
fn what_comes_out_goes_in_elsewhere() {
    let (here, there) = (Admin::start(), Admin::start());
    let (operator, other) = (here.program("operator"), there.program("operator"));
    import(&operator, FILE).expect(200);
    let exported = operator.get("/export").expect(200);
    assert_eq!(exported.answer.field("content-type"), Some("application/toml"));
    assert_eq!(exported.answer.field("content-disposition"), Some("attachment; filename=\"coregate.toml\""));
    assert!(exported.text().contains("secret_sha256") && !exported.text().contains("do-not-show-me"));
    let report = import(&other, &exported.text()).expect(200).json();
    assert_eq!((report["revision"]["changes"].as_u64(), &report["warnings"]), (Some(3), &json!([])));
    assert_eq!(export(&other), export(&operator));
}

#[test]
fn what_is_not_in_the_file_stays_unless_all_is_to_be_replaced() {
    let admin = Admin::start();
    let operator = admin.program("operator");
    import(&operator, FILE).expect(200);
    let other = "[[services]]\nname = \"cart\"\n[[services.routes]]\npath_prefix = \"/cart\"\n";
    assert_eq!(changed(&import(&operator, other).expect(200).json()), ["create service cart"]);
    let replace = |dry_run: bool| {
        let body = json!({ "toml": other, "replace": true, "dry_run": dry_run });
        operator.post("/import", &body).expect(200).json()
    };
    let gone = ["delete listener web", "delete service orders", "delete tenant shop"];
    let dry = replace(true);
    assert_eq!((changed(&dry), &dry["revision"]), (gone.map(str::to_owned).to_vec(), &Value::Null));
    assert_eq!(operator.get("/services").expect(200).json()["total"], 2, "a dry run does nothing");
    assert_eq!(changed(&replace(false)), gone);
    assert_eq!(operator.get("/services").expect(200).json()["total"], 1);
}

#[test]
fn every_error_of_a_file_has_its_line() {
    let admin = Admin::start();
    let operator = admin.program("operator");
    let wrong = "[[services]]\nname = \"a\"\nnoodles = 1\n[[services.routes]]\npath_prefix = \"api\"\n";
    for dry_run in [false, true] {
        let told = operator.post("/import", &json!({ "toml": wrong, "dry_run": dry_run }));
        let error = told.refused(422, "invalid");
        let problems = error["problems"].as_array().expect("problems");
        let found: Vec<(&str, &str)> = problems
            .iter()
            .map(|it| (it["key"].as_str().expect("a key"), it["message"].as_str().expect("a message")))
            .collect();
        let [(unknown, why), (prefix, form)] = found[..] else { panic!("{error}") };
        assert_eq!((unknown, prefix), ("services[0].noodles", "services[0].routes[0].path_prefix"));
        assert!(why.starts_with("line 3: unknown key"), "{why}");
        assert!(form.starts_with("line 5: ") && form.contains("\"/api\""), "{form}");
    }
    let syntax = import(&operator, "[[services]]\nname = \"a\n").refused(422, "invalid");
    assert!(syntax["problems"][0]["message"].as_str().is_some_and(|it| it.contains("line 2")), "{syntax}");
    assert_eq!(operator.get("/revisions").expect(200).json()["total"], 0);
}

#[test]
fn a_file_that_clashes_with_what_is_there_is_refused_as_a_whole() {
    let admin = Admin::start();
    let operator = admin.program("operator");
    import(&operator, FILE).expect(200);
    let clash = "[[services]]\nname = \"fine\"\n[[services.routes]]\npath_prefix = \"/fine\"\n\
                 [[services]]\nname = \"second\"\n[[services.routes]]\npath_prefix = \"/orders\"\n";
    let dry = operator.post("/import", &json!({ "toml": clash, "dry_run": true })).expect(200).json();
    let error = import(&operator, clash).refused(422, "invalid");
    for problems in [&dry["problems"], &error["problems"]] {
        assert_eq!(problems[0]["name"], "second", "{problems}");
        assert!(problems[0]["message"].as_str().is_some_and(|it| it.contains("\"orders\"")), "{problems}");
    }
    assert_eq!(operator.get("/services").expect(200).json()["total"], 1);
}

#[test]
fn a_request_that_makes_no_sense_is_told_what_would_be_right() {
    let admin = Admin::start();
    let operator = admin.program("operator");
    let error = operator.post("/import", &json!({ "toml": "", "dry": true })).refused(400, "bad_request");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("unknown field `dry`")), "{error}");
    operator.post("/import", &json!({})).refused(400, "bad_request");
    let text = operator.request("POST", "/import").field("Content-Type", "application/toml").body(FILE);
    operator.send(&text).refused(415, "unsupported_media_type");
    let long = json!({ "toml": FILE, "message": "x".repeat(5000) });
    assert_eq!(operator.post("/import", &long).refused(422, "invalid")["problems"][0]["key"], "message");
    operator.get("/export?with_key=true").refused(400, "bad_request");
    assert_eq!(operator.get("/revisions").expect(200).json()["total"], 0);
}

#[test]
fn a_body_has_a_limit() {
    let admin = Admin::start();
    let operator = admin.program("operator");
    let comment = |bytes: usize| {
        let around = r#"{"toml":"","dry_run":true}"#.len();
        let filled = format!(r##"{{"toml":"#{}","dry_run":true}}"##, " ".repeat(bytes - around - 1));
        operator.request("POST", "/import").field("Content-Type", "application/json").body(filled)
    };
    let error = operator.send(&comment(BODY_BYTES_MAX + 1)).refused(413, "body_too_large");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("larger")), "{error}");
    // More than other paths take.
    operator.send(&comment(3 << 20)).expect(200);
}

#[test]
fn private_keys_are_for_admins_and_their_export_is_written_down() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let authority = Authority::new();
    let pair = authority.sign("www", &["www.example"]);
    let read = |path| std::fs::read_to_string(path).expect("readable");
    let body = json!({ "name": "www", "chain": read(&pair.chain), "key": read(&pair.key) });
    alice.post("/certificates", &json!({ "body": body })).expect(201);
    let operator = admin.program("operator");
    let without = operator.get("/export").expect(200).text();
    assert!(!without.contains("PRIVATE KEY") && without.contains("Certificates are not in it"), "{without}");
    operator.get("/export?with_keys=true").refused(403, "forbidden");
    let with = alice.get("/export?with_keys=true").expect(200).text();
    assert!(with.contains("PRIVATE KEY"), "{with}");
    assert_eq!(alice.get("/audit?action=keys_exported").expect(200).json()["total"], 1);
    // And it goes in elsewhere.
    let other = Admin::start();
    let report = import(&other.program("operator"), &with).expect(200).json();
    assert_eq!(changed(&report), ["create certificate www"]);
}

#[test]
fn who_may_import_and_export() {
    let admin = Admin::start();
    for (role, expected) in [("viewer", 403), ("operator", 200), ("admin", 200), ("engine", 403)] {
        let program = admin.program(role);
        let dry = program.post("/import", &json!({ "toml": FILE, "dry_run": true }));
        assert_eq!((dry.answer.status, program.get("/export").answer.status), (expected, expected), "{role}");
    }
    let nobody = admin.client();
    import(&nobody, FILE).refused(401, "unauthenticated");
    nobody.get("/export").refused(401, "unauthenticated");
}
