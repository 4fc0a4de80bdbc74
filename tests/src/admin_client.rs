//! Somebody who talks to the admin's API: a browser with its cookie and CSRF token, or a program with a token.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::admin::{FIRST_NAME, FIRST_PASSWORD};
use crate::client::Client;
use crate::message::Answer;
use crate::request::{Request, request};

/// A client; each request is a connection of its own.
#[derive(Debug, Clone)]
pub struct AdminClient {
    address: SocketAddr,
    source: Option<IpAddr>,
    /// `name=value`, once it has logged in.
    pub cookie: Option<String>,
    /// Once it has logged in.
    pub csrf: Option<String>,
    token: Option<String>,
}

impl AdminClient {
    /// Nobody yet.
    pub fn new(address: SocketAddr) -> AdminClient {
        AdminClient { address, source: None, cookie: None, csrf: None, token: None }
    }

    /// From another address of this machine, such as 127.0.0.2.
    pub fn from(mut self, source: &str) -> AdminClient {
        self.source = Some(source.parse().expect("an address"));
        self
    }

    /// A program.
    pub fn with_token(mut self, token: &str) -> AdminClient {
        self.token = Some(token.into());
        self
    }

    /// The token of a program.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Makes the first account by the link that an admin prints: `alice`, an admin.
    #[track_caller]
    pub fn set_up(mut self, link: &str) -> AdminClient {
        let (_, token) = link.split_once("token=").expect("a token in the link");
        let account = json!({ "token": token, "name": FIRST_NAME, "password": FIRST_PASSWORD });
        self.enter(&self.post("/setup", &account).expect(201));
        self
    }

    /// Logs in as the first account.
    #[track_caller]
    pub fn log_in(self) -> AdminClient {
        self.log_in_as(FIRST_NAME, FIRST_PASSWORD)
    }

    /// Logs in.
    #[track_caller]
    pub fn log_in_as(mut self, name: &str, password: &str) -> AdminClient {
        let told = self.try_log_in(name, password).expect(200);
        self.enter(&told);
        self
    }

    /// Tries to log in.
    pub fn try_log_in(&self, name: &str, password: &str) -> Told {
        self.post("/login", &json!({ "name": name, "password": password }))
    }

    /// Takes the cookie and the CSRF token of an answer.
    #[track_caller]
    pub fn enter(&mut self, told: &Told) {
        let cookie = told.answer.field("set-cookie").expect("a cookie");
        self.cookie = cookie.split(';').next().map(str::to_owned);
        self.csrf = told.json()["csrf_token"].as_str().map(str::to_owned);
    }

    /// A request to a path below `/api/v1`, with what shows who it is.
    pub fn request(&self, method: &str, path: &str) -> Request {
        let mut asked = request(method, &format!("/api/v1{path}")).field("Host", &self.address.to_string());
        if let Some(cookie) = &self.cookie {
            asked = asked.field("Cookie", cookie);
        }
        if let Some(csrf) = self.csrf.as_ref().filter(|_| method != "GET") {
            asked = asked.field("X-CSRF-Token", csrf);
        }
        if let Some(token) = &self.token {
            asked = asked.field("Authorization", &format!("Bearer {token}"));
        }
        asked
    }

    /// Sends a request as it is.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Told {
        let mut client = match self.source {
            Some(source) => Client::connect_from(source, self.address).expect("a connection"),
            None => Client::connect(self.address),
        };
        Told { answer: client.ask(request) }
    }

    /// GET
    #[track_caller]
    pub fn get(&self, path: &str) -> Told {
        self.send(&self.request("GET", path))
    }

    /// POST
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Told {
        self.with_body("POST", path, body)
    }

    /// PUT
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Told {
        self.with_body("PUT", path, body)
    }

    /// PATCH
    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Told {
        self.with_body("PATCH", path, body)
    }

    /// DELETE
    #[track_caller]
    pub fn delete(&self, path: &str) -> Told {
        self.send(&self.request("DELETE", path))
    }

    #[track_caller]
    fn with_body(&self, method: &str, path: &str, body: &Value) -> Told {
        let asked = self.request(method, path).field("Content-Type", "application/json");
        self.send(&asked.body(body.to_string()))
    }
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Told {
    /// It.
    pub answer: Answer,
}

impl Told {
    /// Its body.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.answer.json()
    }

    /// Its body as it came.
    pub fn text(&self) -> String {
        self.answer.text()
    }

    /// Checks its status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Told {
        assert_eq!(self.answer.status, status, "{}", self.text());
        self
    }

    /// Checks that it is an error with that status and code, and words.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.answer.status, status, "{}", self.text());
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        error
    }
}
