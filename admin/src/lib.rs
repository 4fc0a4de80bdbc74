//! The admin process of coregate: it owns the configuration and publishes it to engines.
//!
//! ```text
//! dashboard, API clients, import ──> api ──> store (check, revision, transaction) ──> publish ──> engines
//!                                     ^                                                  │
//!                                     └──────────── live (reports of engines) <──────────┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `model.rs` | items, changes, revisions: what all parts speak of |
//! | `store/` | the database (MySQL or SQLite), migrations, revisions; the one place where anything changes |
//! | `auth/` | passwords, sessions, tokens, roles, lock-out |
//! | `api/` | `/api/v1`: handlers, errors, the OpenAPI document |
//! | `publish/` | `/engine/v1`: snapshots for engines, their reports |
//! | `live/` | what engines report: instances, nodes, flow; figures from Redis |
//! | `explain/` | what would become of a request under a configuration, and how two of them differ |
//! | `import/` | gogate databases, TOML files; export |
//! | `app.rs`, `settings.rs`, `serve.rs`, `command.rs` | what handlers share; flags; start and end; small commands |
//! | `server.rs`, `tls.rs`, `web.rs` | sockets, TLS; the dashboard's files |
//!
//! Nothing here is on the path of a request that a gateway serves: engines go on with what they have when this process is
//! down.

pub mod api;
pub mod app;
pub mod auth;
pub mod command;
pub mod explain;
pub mod import;
pub mod live;
pub mod model;
pub mod publish;
pub mod serve;
pub mod server;
pub mod settings;
pub mod store;
pub mod tls;
pub mod web;
