//! The command line of `coregate-admin`: whoever mistypes, or stands in the wrong folder, is told what is wrong, where, and
//! what would be right.

use std::path::Path;
use std::process::Command;

use coregate_tests::gateway::Tool;
use coregate_tests::{Admin, Finished, admin};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Runs it in that folder, to its end.
#[track_caller]
fn in_folder(folder: &Path, line: &str) -> Finished {
    let mut command = Command::new(admin::binary());
    command.args(line.split(' ')).current_dir(folder);
    Tool::run(command).finish()
}

#[track_caller]
fn refused(finished: &Finished, code: i32, told: &str) {
    assert_eq!(finished.code, Some(code), "{}", finished.output);
    assert!(finished.output.contains(told), "{told:?} is not in {}", finished.output);
}

#[track_caller]
fn holds_nothing(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_new_database_is_told_of_and_is_not_made_by_what_only_reads() {
    let folder = folder();
    for line in ["export", "reset-password alice", "rotate-key --new-key-file new.key"] {
        let told =
            "--database sqlite:coregate-admin.db: there is no such file; name the database of the admin";
        refused(&in_folder(folder.path(), line), 1, told);
        holds_nothing(folder.path());
    }
    let made = in_folder(folder.path(), "token --role engine --name edge-1");
    assert_eq!(made.code, Some(0), "{}", made.output);
    assert!(
        made.output.contains("coregate-admin.db was not there: a new database is made"),
        "{}",
        made.output
    );
    let again = in_folder(folder.path(), "token --role engine --name edge-2");
    assert!(!again.output.contains("new database"), "{}", again.output);
    assert_eq!(in_folder(folder.path(), "export").code, Some(0));
}

#[test]
fn an_export_with_keys_is_written_down_and_may_be_read_in_part() {
    let admin = Admin::start();
    let alice = admin.set_up();
    for _ in 0..2 {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = admin.command(&["export", "--with-keys"]);
        command.stdout(writer);
        assert_eq!(command.status().expect("start").code(), Some(0));
    }
    let written = alice.get("/audit?action=keys_exported").expect(200).json();
    assert_eq!((&written["total"], &written["items"][0]["actor"]), (&2.into(), &"command line".into()));
}

#[test]
fn a_file_that_cannot_be_imported_leaves_no_database_behind() {
    let folder = folder();
    refused(&in_folder(folder.path(), "import file none.toml"), 1, "none.toml: No such file");
    holds_nothing(folder.path());
    refused(
        &in_folder(folder.path(), "import gogate --mysql gogate"),
        1,
        "--mysql: must be mysql://USER:PASSWORD@HOST:PORT/DATABASE",
    );
    refused(
        &in_folder(folder.path(), "import gogate --mysql mysql://u:secret@127.0.0.1:1/gogate --dry-run"),
        1,
        "--mysql: 127.0.0.1:1/gogate cannot be connected to: Connection refused",
    );
    holds_nothing(folder.path());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = folder();
    let told = "--database: there is no folder \"missing\"";
    refused(&in_folder(folder.path(), "--database sqlite:missing/admin.db"), 1, told);
}

#[test]
fn flags_are_told_by_their_names_with_what_would_be_right() {
    let folder = folder();
    for (line, code, told) in [
        ("--listen localhost:8880", 2, "'--listen <ADDRESS>': right would be an IP address with a port"),
        (
            "--redis 127.0.0.1:6379",
            1,
            "--redis must begin with redis://, redis-cluster:// or redis-sentinel://",
        ),
        (
            "--key-file none",
            1,
            "key file none: No such file or directory (os error 2); a key is 32 random bytes",
        ),
        ("token --role engine --name a/b", 1, "--name \"a/b\": right would be 1 to 64 of"),
        ("--databse x", 2, "'--database'"),
    ] {
        refused(&in_folder(folder.path(), line), code, told);
    }
}

#[test]
fn a_password_is_reset_for_an_account_that_is_there() {
    let admin = Admin::start();
    let database = format!("--database sqlite:{}", admin.folder().join("admin.db").display());
    let nobody = format!("reset-password bob {database}");
    refused(&in_folder(admin.folder(), &nobody), 1, "there is no account \"bob\": there is none at all yet");
    let client = admin.set_up();
    refused(&in_folder(admin.folder(), &nobody), 1, "there is no account \"bob\"; there are: alice");
    let link =
        in_folder(admin.folder(), &format!("reset-password alice --public-url {} {database}", admin.url()));
    let token = link.output.trim().strip_prefix(&format!("{}/#/set-password?token=", admin.url()));
    let body = serde_json::json!({ "token": token.expect("a link"), "password": "another horse battery" });
    admin.client().post("/set-password", &body).expect(200);
    client.get("/session").refused(401, "unauthenticated");
    admin.client().log_in_as("alice", "another horse battery");
}
