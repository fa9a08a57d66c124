//! What several tests share.
#![allow(dead_code)]

pub mod client;
pub mod endpoint;
pub mod hub;
pub mod program;
pub mod real_model;
pub mod scripted;
pub mod tiny_model;
