//! What several tests share.

pub mod tiny_model;
