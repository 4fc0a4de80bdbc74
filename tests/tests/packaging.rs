//! What is shipped beside the binaries holds: Debian packages, systemd units, the seccomp profile, the container file,
//! Kubernetes manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coregate_tests::gateway::binary;
use coregate_tests::{Gateway, Origin, service};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("it is there")
}

fn packaging(path: &str) -> String {
    repository().join("packaging").join(path).display().to_string()
}

/// A command that `scripts/install-test-deps.sh` has put into target/tools.
fn tool(path: &str) -> Command {
    let tool = repository().join("target/tools").join(path);
    assert!(tool.exists(), "{} is missing: run scripts/install-test-deps.sh", tool.display());
    Command::new(tool)
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// A file with other words in it, in a folder.
fn changed(folder: &Path, path: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = fs::read_to_string(packaging(path)).expect(path);
    for (from, to) in changes {
        assert!(text.contains(from), "{path} has no {from:?}");
        text = text.replace(from, to);
    }
    let to = folder.join(Path::new(path).file_name().expect("a name"));
    fs::write(&to, text).expect("a folder of the test");
    to
}

fn manifests() -> Vec<String> {
    let folder = fs::read_dir(packaging("kubernetes")).expect("it is there");
    let mut files: Vec<String> = folder.map(|it| it.expect("read").path().display().to_string()).collect();
    files.retain(|path| path.ends_with(".yaml"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

#[test]
fn systemd_takes_the_units_and_finds_them_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = binary().display().to_string();
    let admin = binary().with_file_name("coregate-admin").display().to_string();
    let engine = changed(folder.path(), "systemd/coregate.service", &[("/usr/bin/coregate", &engine)]);
    let admin =
        changed(folder.path(), "systemd/coregate-admin.service", &[("/usr/bin/coregate-admin", &admin)]);
    for unit in [engine, admin] {
        let complaints = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
        assert_eq!(complaints, "", "{}", unit.display());
        // Exposure of at most 2.0 of 10.
        let security = ["security", "--offline=true", "--no-pager", "--threshold=20"];
        run(Command::new("systemd-analyze").args(security).arg(&unit));
    }
}

#[test]
fn a_unit_waits_longer_for_its_end_than_a_drain_takes() {
    let unit = fs::read_to_string(packaging("systemd/coregate.service")).expect("it is there");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("it is set");
    let sample = fs::read_to_string(packaging("config/coregate.toml")).expect("it is there");
    assert!(!sample.contains("drain_timeout"), "the default holds");
    let reference = fs::read_to_string(repository().join("config/REFERENCE.md")).expect("it is there");
    let line = reference.lines().find(|line| line.starts_with("| `drain_timeout`")).expect("its line");
    let drain = line.split('`').find(|cell| cell.starts_with('"')).expect("its default").trim_matches('"');
    let seconds = |text: &str| text.trim_end_matches('s').parse::<u64>().expect(text);
    // The last counters take 5 s more.
    assert!(seconds(stop) > seconds(drain) + 5, "{stop} and {drain}");
}

#[test]
fn the_engine_serves_under_the_seccomp_profile_and_says_why_without_io_uring() {
    let script = repository().join("tests/peers/under_seccomp.py").display().to_string();
    let profile = packaging("seccomp/coregate.json");
    let under = ["/usr/bin/python3", &script, &profile];
    let origin = Origin::named("one");
    let services = || Gateway::with(service("a").route("/").node(&origin));
    let gateway = services().under(&under).start();
    assert_eq!(gateway.get("/").status, 200);
    drop(gateway);
    let without = [&under[..], &["--without", "io_uring_setup"]].concat();
    let finished = services().under(&without).start_and_finish();
    assert_eq!(finished.code, Some(1));
    assert!(finished.output.contains("its seccomp profile"), "{}", finished.output);
}

#[test]
fn the_container_file_passes_its_linter() {
    let linted = run(tool("python/bin/hadolint").arg(packaging("Containerfile")));
    assert_eq!(linted, "");
}

#[test]
fn kubernetes_takes_the_manifests() {
    for manifest in manifests() {
        run(tool("python/bin/kubernetes-validate").args(["--strict", "--quiet"]).arg(&manifest));
    }
}

/// All that the manifests hold.
fn documents() -> Vec<Value> {
    let print = "import sys, json, yaml; print(json.dumps([d for f in sys.argv[1:] for d in yaml.safe_load_all(open(f))]))";
    let documents = run(tool("python/bin/python3").args(["-c", print]).args(manifests()));
    serde_json::from_str(&documents).expect("JSON")
}

#[test]
fn configurations_in_the_manifests_are_right() {
    let documents = documents();
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, "cga_test").expect("a folder of the test");
    let mut checked = 0;
    for document in documents.iter().filter(|document| document["kind"] == "ConfigMap") {
        let text = document["data"]["coregate.toml"].as_str().expect("the configuration of an engine");
        let file = folder.path().join("coregate.toml");
        let text = text.replace("/etc/coregate-token/token", &token.display().to_string());
        fs::write(&file, text).expect("a folder of the test");
        run(Command::new(binary()).arg("check").arg("--config").arg(&file));
        checked += 1;
    }
    assert_eq!(checked, 2);
    for document in &documents {
        let Some(containers) = document["spec"]["template"]["spec"]["containers"].as_array() else {
            continue;
        };
        for container in containers {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{container}");
        }
    }
}

#[test]
fn manifests_keep_no_secret_and_fit_what_the_engine_does() {
    let documents = documents();
    assert!(documents.iter().all(|document| document["kind"] != "Secret"), "applying one writes over a key");
    let named = |kind: &str, name: &str| {
        documents.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name).expect(name)
    };
    let pod = &named("Deployment", "coregate")["spec"]["template"]["spec"];
    let engine = &pod["containers"][0];
    let text = named("ConfigMap", "coregate-engine")["data"]["coregate.toml"].as_str().expect("a text");
    let own = |key: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(" = "));
        value.expect(key).trim_matches('"').trim_end_matches('s')
    };
    let resources = &engine["resources"];
    assert_eq!(resources["requests"], resources["limits"], "CPUs of its own");
    let wait = engine["lifecycle"]["preStop"]["exec"]["command"][1].as_str().expect("seconds");
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    let seconds = |text: &str| text.parse::<u64>().expect(text);
    // The last counters take 5 s more.
    assert!(grace >= seconds(wait) + seconds(own("drain_timeout")) + 5, "{grace}");
    for (kind, name) in [("Deployment", "coregate"), ("DaemonSet", "coregate-edge")] {
        let engine = &named(kind, name)["spec"]["template"]["spec"]["containers"][0];
        // One that waits for its configuration is not to be started again for it.
        for probe in ["startupProbe", "livenessProbe"] {
            assert_eq!(engine[probe]["httpGet"]["path"], "/healthz", "{name} {probe}");
        }
        assert_eq!(engine["readinessProbe"]["httpGet"]["path"], "/readyz", "{name}");
    }
}

/// Builds the package of a crate out of the binaries of these tests.
fn package(name: &str, folder: &Path) -> PathBuf {
    let target = folder.join("target");
    fs::create_dir_all(target.join("release")).expect("a folder of the test");
    // cargo-deb packs what stands where a release would.
    fs::copy(binary().with_file_name(name), target.join("release").join(name)).expect("built for the tests");
    let file = folder.join(format!("{name}.deb"));
    run(tool("bin/cargo-deb")
        .args(["-p", name, "--no-build", "--no-strip", "--fast", "--quiet", "-o"])
        .arg(&file)
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(repository()));
    file
}

/// A scratch root that dpkg installs into; maintainer scripts run outside of it and are told of it by DPKG_ROOT.
struct Root(PathBuf);

impl Root {
    fn new(folder: &Path) -> Self {
        let root = folder.join("root");
        for part in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc"] {
            fs::create_dir_all(root.join(part)).expect("a folder of the test");
        }
        fs::write(root.join("var/lib/dpkg/status"), "").expect("a folder of the test");
        fs::write(root.join("var/lib/dpkg/available"), "").expect("a folder of the test");
        Self(root)
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        let options = ["--force-script-chrootless", "--force-depends", "--force-not-root", "--log=/dev/null"];
        run(Command::new("dpkg").arg(format!("--root={}", self.0.display())).args(options).args(arguments))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

#[test]
fn debian_packages_install_run_and_keep_what_was_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Root::new(folder.path());
    let engine = package("coregate", folder.path()).display().to_string();
    let admin = package("coregate-admin", folder.path()).display().to_string();
    root.dpkg(&["--install", &engine, &admin]);

    let config = root.path("etc/coregate/coregate.toml");
    let checked = run(Command::new(root.path("usr/bin/coregate")).arg("check").arg("--config").arg(&config));
    assert!(checked.starts_with("ok: 1 listener"), "{checked}");
    run(Command::new(root.path("usr/bin/coregate-admin")).arg("--version"));
    for file in [
        "usr/lib/systemd/system/coregate.service",
        "usr/lib/systemd/system/coregate-admin.service",
        "usr/share/coregate/seccomp.json",
        "usr/share/doc/coregate/REFERENCE.md",
        "usr/share/doc/coregate/examples/gateway.toml",
        "etc/coregate-admin/admin.env",
    ] {
        assert!(root.path(file).exists(), "{file}");
    }

    fs::write(&config, "# of the operator\n").expect("it is the test's own");
    root.dpkg(&["--install", "--force-confold", &engine]);
    assert_eq!(fs::read_to_string(&config).expect("it stayed"), "# of the operator\n");
    fs::create_dir_all(root.path("var/lib/coregate")).expect("a folder of the test");
    root.dpkg(&["--remove", "coregate"]);
    assert!(config.exists() && root.path("var/lib/coregate").exists(), "only a purge takes them");
    root.dpkg(&["--purge", "coregate", "coregate-admin"]);
    assert!(!config.exists() && !root.path("var/lib/coregate").exists());
}

#[test]
fn settings_of_the_packaged_admin_are_flags_that_it_has() {
    let help = run(Command::new(binary().with_file_name("coregate-admin")).args(["serve", "--help"]));
    let settings = fs::read_to_string(packaging("config/admin.env")).expect("it is there");
    let mut count = 0;
    for line in settings.lines() {
        let Some((name, _)) = line.trim_start_matches("# ").split_once('=') else { continue };
        if !name.contains(' ') {
            assert!(help.contains(&format!("[env: {name}")), "{name} is not in:\n{help}");
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}
