//! `foretype/counters`: what the engine did since the server's start, for measurements.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use crate::server::session::Session;

pub fn handle(session: &Session) -> Value {
    let Some(worker) = session.worker() else { return Value::Null };
    let counters = worker.counters();
    let mut answer: Map<String, Value> =
        counters.sums().into_iter().map(|(name, sum)| (camel_case(name), json!(sum))).collect();
    answer.insert("stopMicros".to_owned(), json!(counters.stop_micros()));
    answer.insert("busy".to_owned(), json!(counters.busy.load(Ordering::Relaxed)));
    Value::Object(answer)
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        name + &head.to_uppercase() + tail
    })
}

#[cfg(test)]
mod tests {
    use super::camel_case;

    #[test]
    fn names_are_as_in_the_protocol() {
        assert_eq!(camel_case("requests"), "requests");
        assert_eq!(camel_case("idle_read_tokens"), "idleReadTokens");
    }
}
