//! Foretype: a language server that types ahead of you.
