//! What a coregate gateway is configured with.
//!
//! Two sets of types: [`raw`] mirrors what was written (TOML or JSON) and is what serde fills; [`checked`] holds what
//! is true and cannot be invalid. [`load`] takes the first to the second and reports every error at once.

pub mod checked;
