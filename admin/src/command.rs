//! The small commands: `token`, `reset-password`, `rotate-key`.
//!
//! They work on the database, whether an admin is running or not. What they did stands in the audit as `command line`.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::json;

use crate::auth::login::{check_name, make_link};
use crate::auth::{Role, secret};
use crate::model::Actor;
use crate::settings::{StoreFlags, link_base};
use crate::store::{NewToken, RecordError, Resealed, SealingKey};

/// Who the command line is, in revisions and the audit.
pub fn actor() -> Actor {
    Actor { name: "command line".to_owned(), address: None }
}

/// `token`: makes a token and prints it, once.
pub async fn token(flags: &StoreFlags, name: &str, role: Role) -> Result<ExitCode, String> {
    check_name(name)
        .map_err(|error| format!("--name {name:?}: {}", error.message.trim_start_matches("name: ")))?;
    let store = flags.open().await?;
    let (token, now) = (secret::token(), Timestamp::now());
    let new = NewToken {
        name: name.to_owned(),
        sha256: secret::digest(&token),
        role,
        created_by: actor().name,
        expires_at: None,
    };
    store.add_token(new, now).await.map_err(|error| match error {
        RecordError::Exists => format!("there is a token \"{name}\" already; choose another name"),
        error => error.to_string(),
    })?;
    let object = format!("token:{name}");
    let detail = json!({ "role": role });
    store.audit(&actor(), "token_created", &object, &detail, now).await.map_err(|error| error.to_string())?;
    println!("{token}");
    Ok(ExitCode::SUCCESS)
}

/// `reset-password`: prints a link with which the account's password can be set, once.
pub async fn reset_password(
    flags: &StoreFlags,
    listen: std::net::SocketAddr,
    tls: bool,
    name: &str,
) -> Result<ExitCode, String> {
    let told = |error: crate::store::StoreError| error.to_string();
    let store = flags.open_existing().await?;
    let Some(account) = store.admin_by_name(name).await.map_err(told)? else {
        let names: Vec<String> = store.admins().await.map_err(told)?.into_iter().map(|it| it.name).collect();
        return Err(if names.is_empty() {
            format!(
                "there is no account \"{name}\": there is none at all yet, and coregate-admin prints a set-up link"
            )
        } else {
            format!("there is no account \"{name}\"; there are: {}", names.join(", "))
        });
    };
    let now = Timestamp::now();
    let base = link_base(flags.public_url.as_deref(), listen, tls);
    let link = make_link(&store, account.id, &base, now).await.map_err(told)?;
    let object = format!("admin:{name}");
    store.audit(&actor(), "password_link", &object, &json!({}), now).await.map_err(told)?;
    println!("{link}");
    Ok(ExitCode::SUCCESS)
}

/// `rotate-key`: seals the keys of all certificates anew. The old key is the one that the flags name.
pub async fn rotate_key(flags: &StoreFlags, new_key_file: &Path) -> Result<ExitCode, String> {
    let told = |error: crate::store::StoreError| error.to_string();
    let store = flags.open_existing().await?;
    let new = SealingKey::from_file_or_new(new_key_file).map_err(told)?;
    let done = store.replace_key(&new, &actor(), Timestamp::now()).await.map_err(told)?;
    let Resealed { certificates, older, in_drafts } = done;
    println!(
        "encrypted with the key in {path}: {certificates} certificate(s), {older} of older revisions, {in_drafts} in \
         drafts\nstart every coregate-admin with --key-file {path} now; the old key is needed for older back-ups alone",
        path = new_key_file.display()
    );
    Ok(ExitCode::SUCCESS)
}
