//! Foretype: a language server that types ahead of you. The modules stand in reading order, from text to screen.
//!
//! The one idea: [`completion::complete`] is the whole product, one synchronous function. Everything else brings it its
//! arguments or carries its result away. See docs/architecture.md.

pub mod config;
pub mod documents;
pub mod interrupt;
pub mod kernels;
pub mod languages;
pub mod oneline;

pub mod model;

pub mod engine;

pub mod context;

pub mod completion;
pub mod generation;

pub mod worker;

pub mod cli;
pub mod server;
