//! The service card as commands show it: lines for people, JSON Schema, OpenAPI, a Thing
//! Description of the W3C, and stubs for type checkers.
//!
//! One file for each form. Which services a lab has is not known here.

mod described;
mod fetch;
mod listing;
mod openapi;
mod schema;
mod stub;
mod thing;

pub(crate) use described::DescribedService;
pub(crate) use fetch::fetch_from;
pub(crate) use listing::{heading, rows};
pub(crate) use openapi::{api_paths, openapi};
pub(crate) use schema::description;
pub(crate) use stub::{module_name, stub};
pub(crate) use thing::thing;
