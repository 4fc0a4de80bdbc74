//! What somebody may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role. Viewer, operator and admin each may do what the one before may; engines are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but accounts, tokens and the audit of logins.
    Viewer,
    /// Also changes the configuration.
    Operator,
    /// Also accounts and tokens.
    Admin,
    /// An engine: takes snapshots and reports, nothing else.
    Engine,
}

impl Role {
    /// As stored and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Engine => "engine",
        }
    }

    /// Whether it may do what needs `needed`.
    pub fn covers(self, needed: Role) -> bool {
        match (self, needed) {
            (Self::Engine, _) | (_, Self::Engine) => self == needed,
            (Self::Viewer | Self::Operator | Self::Admin, _) => self.rank() >= needed.rank(),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Engine => 0,
            Self::Viewer => 1,
            Self::Operator => 2,
            Self::Admin => 3,
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Viewer, Self::Operator, Self::Admin, Self::Engine]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::Role::{self, Admin, Engine, Operator, Viewer};

    #[test]
    fn each_role_covers_those_below_it_and_engines_are_apart() {
        let covered = |role: Role| [Viewer, Operator, Admin, Engine].map(|needed| role.covers(needed));
        assert_eq!(covered(Viewer), [true, false, false, false]);
        assert_eq!(covered(Operator), [true, true, false, false]);
        assert_eq!(covered(Admin), [true, true, true, false]);
        assert_eq!(covered(Engine), [false, false, false, true]);
    }

    #[test]
    fn a_role_reads_back_as_it_is_written() {
        for role in [Viewer, Operator, Admin, Engine] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
