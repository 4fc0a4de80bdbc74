//! The dashboard in a real browser (headless Chromium), against the real admin and a real engine. The steps are in
//! `admin/web/e2e`; screenshots are kept in `target/screenshots`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::path::{Path, PathBuf};
use std::process::Command;

use coregate_tests::certs::Authority;
use coregate_tests::ports::Port;
use coregate_tests::{Admin, Gateway, Origin};

#[test]
fn an_operators_first_day_goes_well() {
    let Some(mut story) = script("story.mjs") else { return };
    let (origin, admin, listen) = (Origin::named("shop"), Admin::start(), Port::free());
    let setup_link = admin.setup_link();
    let engine = Gateway::empty().following(&admin.url(), &admin.token("engine", "e2e")).start_unready();
    story
        .env("SETUP_LINK", setup_link)
        .env("DASHBOARD", admin.url())
        .env("LISTEN", listen.address().to_string())
        .env("NODE", origin.address().to_string())
        .env("SCREENSHOTS", screenshots("story"));
    succeeded(story);
    drop(engine);
}

#[test]
fn no_page_breaks_the_policy_hinders_a_reader_or_scrolls_sideways() {
    let Some(mut pages) = script("pages.mjs") else { return };
    let (origin, admin) = (Origin::named("shop"), Admin::start());
    let engine = Gateway::empty().following(&admin.url(), &admin.token("engine", "e2e")).start_unready();
    pages
        .env("SETUP_LINK", admin.setup_link())
        .env("DASHBOARD", admin.url())
        .env("NODE", origin.address().to_string())
        .env("SCREENSHOTS", screenshots("pages"));
    succeeded(pages);
    drop(engine);
}

#[test]
fn what_is_done_now_and_then_goes_well() {
    let Some(mut work) = script("work.mjs") else { return };
    let (admin, authority) = (Admin::start(), Authority::new());
    let (www, other) = (authority.sign("www", &["www.test"]), authority.sign("other", &["other.test"]));
    let text = |path: &Path| std::fs::read_to_string(path).expect("a file");
    work.env("SETUP_LINK", admin.setup_link())
        .env("DASHBOARD", admin.url())
        .env("CHAIN", text(&www.chain))
        .env("KEY", text(&www.key))
        .env("OTHER_KEY", text(&other.key))
        .env("SCREENSHOTS", screenshots("work"));
    succeeded(work);
}

#[test]
fn dialogs_and_menus_are_for_everybody() {
    let Some(mut dialogs) = script("dialogs.mjs") else { return };
    let admin = Admin::start();
    dialogs
        .env("SETUP_LINK", admin.setup_link())
        .env("DASHBOARD", admin.url())
        .env("SCREENSHOTS", screenshots("dialogs"));
    succeeded(dialogs);
}

#[test]
fn it_says_that_the_database_is_away() {
    let Some(mut outage) = script("outage.mjs") else { return };
    let admin = Admin::builder().on_mariadb().start();
    let alice = admin.set_up();
    admin.server().kill();
    outage.env("DASHBOARD", admin.url()).env("COOKIE", alice.cookie.expect("she is logged in"));
    succeeded(outage);
}

/// A script of `admin/web/e2e`; `None` where Node.js is not installed, as `make web` does without it too.
fn script(name: &str) -> Option<Command> {
    let web = root().join("admin/web");
    if !web.join("node_modules/playwright-core").exists() {
        let npm = Command::new("npm").arg("--version").output();
        assert!(npm.is_err(), "npm is installed but the dashboard is not built: run `make web`");
        eprintln!("skipped: npm is not installed, so there is no dashboard to look at");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(web.join("e2e").join(name)).current_dir(web);
    Some(command)
}

#[track_caller]
fn succeeded(mut script: Command) {
    let output = script.output().unwrap_or_else(|error| panic!("{script:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn screenshots(folder: &str) -> PathBuf {
    root().join("target/screenshots").join(folder)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}
