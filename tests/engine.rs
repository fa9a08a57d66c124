//! Whatever the engine does to be fast, its greedy answer is the one that it would give without: caches, slots, drafts.

mod common;

use std::path::Path;

use common::real_model;
use common::scripted::Script;
use common::tiny_model::{Seeded, Tiny};
use foretype::config::DeviceChoice;
use foretype::engine::{Engine, Finish, Flow, Fork, Hypothesis, Limits, Output, Prompt};
use foretype::interrupt::Interrupt;
use foretype::model::store::{self, ModelFiles};

const LIMITS: Limits = Limits { max_tokens: 24, time: None };

fn load(files: &ModelFiles) -> Engine {
    Engine::load(files, DeviceChoice::Cpu, Some(2), &mut |_| ()).unwrap()
}

fn tiny(folder: &Path) -> Engine {
    let path = folder.join("tiny.gguf");
    Tiny::default().write(&path);
    load(&store::ensure(path.to_str().unwrap(), &mut |_| ()).unwrap())
}

fn run(engine: &mut Engine, prompt: &[u32]) -> Output {
    engine.run(Prompt::of(prompt), LIMITS, &Interrupt::new(), &mut |_| Flow::Continue).unwrap()
}

/// What an answer says, apart from what it cost.
fn said(output: &Output) -> (String, usize, Finish) {
    (output.text.clone(), output.tokens, output.finish)
}

/// Every prompt from nothing and token by token, against all of them in a row with everything on.
fn compare(engine: &mut Engine, prompts: &[Vec<u32>]) -> (usize, usize) {
    engine.set_drafts(false);
    let mut plain = Vec::new();
    for prompt in prompts {
        engine.forget();
        plain.push(said(&run(engine, prompt)));
    }
    engine.set_drafts(true);
    let (mut cached, mut taken) = (0, 0);
    for (prompt, plain) in prompts.iter().zip(&plain) {
        let output = run(engine, prompt);
        assert_eq!(
            said(&output),
            *plain,
            "after {} tokens, {} of them cached",
            prompt.len(),
            output.cached_tokens
        );
        cached += output.cached_tokens;
        taken += output.drafts_taken;
    }
    (cached, taken)
}

/// The beginnings of a text at which somebody types it, with two places in turn.
fn typed(tokens: &[u32], places: &[usize], keys: usize) -> Vec<Vec<u32>> {
    let key = |key: usize| places.iter().map(move |place| tokens[..place + key].to_vec());
    (0..keys).flat_map(key).collect()
}

#[test]
fn small_seeded_weights_answer_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = tiny(folder.path());
    let mut seeded = Seeded(7);
    let mut text: Vec<u32> = (0..200).map(|_| ((seeded.next() + 1.0) * 47.0) as u32 + 32).collect();
    text.extend_from_within(20..120);
    let (cached, taken) = compare(&mut engine, &typed(&text, &[40, 150, 260], 12));
    assert!(cached > 0 && taken > 0, "{cached} tokens were cached, {taken} drafts were right");
}

#[test]
fn the_real_model_answers_the_same() {
    let mut engine = load(&real_model::files());
    let source = include_str!("../src/completion/reuse.rs");
    let tokens = engine.tokenize(source);
    let (cached, taken) = compare(&mut engine, &typed(&tokens, &[150, 300], 5));
    assert!(cached > 0 && taken > 0, "{cached} tokens were cached, {taken} drafts were right");
}

#[test]
fn a_place_that_was_left_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = tiny(folder.path());
    let text = |letter: u32| -> Vec<u32> { (0..150).map(|n| 32 + (n * letter) % 90).collect() };
    let (here, there) = (text(7), text(11));
    run(&mut engine, &here);
    run(&mut engine, &there);
    assert_eq!(run(&mut engine, &here).cached_tokens, here.len() - 1);
    assert_eq!(run(&mut engine, &there).cached_tokens, there.len() - 1);
}

#[test]
fn the_place_that_was_left_first_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = tiny(folder.path());
    let text =
        |place: u32| -> Vec<u32> { (0..150).map(|n| 32 + (n * (2 * place + 7) + place) % 90).collect() };
    let slots = engine.slots() as u32;
    assert!(slots > 2);
    (0..slots).for_each(|place| drop(run(&mut engine, &text(place))));
    // The first is used again, so the second is the oldest when one more comes.
    run(&mut engine, &text(0));
    run(&mut engine, &text(slots));
    let mut cached = |place: u32| run(&mut engine, &text(place)).cached_tokens;
    assert_eq!((cached(0), cached(2)), (149, 149));
    assert!(cached(1) < 10);
}

#[test]
fn the_first_of_one_way_is_the_greedy_one_and_more_ways_are_no_less_likely() {
    let mut engine = load(&real_model::files());
    let tokens = engine.tokenize("def add(first, second):\n    return first +");
    let prompt = Prompt::of(&tokens);
    let mut search = |width| {
        let limits = Limits { max_tokens: 6, time: None };
        let mut ends = |text: &str| text.contains('\n');
        engine.hypotheses(prompt, Fork::Anywhere, width, limits, &mut ends, &Interrupt::new()).unwrap()
    };
    let (one, four) = (search(1), search(4));
    assert_eq!((one.len(), four.len()), (1, 4));
    assert!(four[0].mean_logprob() >= one[0].mean_logprob() - 1e-4, "{four:?} {one:?}");
    assert!(four.windows(2).all(|pair| pair[0].mean_logprob() >= pair[1].mean_logprob()));
    // Each is as likely as its tokens are when they are read alone, but for what rounding makes of other orders of sums: some
    // hundredths a token. Another way's tokens, if they were seen, would change whole nats. (What ends by itself has the end's too.)
    let mut scored = 0;
    for way in four.iter().filter(|way| way.finish != Finish::End) {
        let whole = [&tokens[..], &engine.tokenize(&way.text)].concat();
        if whole.len() == tokens.len() + way.tokens {
            let scores = engine.score(&whole).unwrap();
            let alone: f32 = scores[tokens.len() - 1..].iter().map(|score| score.logprob).sum();
            assert!((alone - way.logprob).abs() < 0.1 * way.tokens as f32, "{way:?}: {alone}");
            scored += 1;
        }
    }
    assert!(scored > 0, "{four:?}");
    let limits = Limits { max_tokens: one[0].tokens, time: None };
    let greedy = engine.run(Prompt::of(&tokens), limits, &Interrupt::new(), &mut |_| Flow::Continue);
    assert_eq!(greedy.unwrap().text, one[0].text);
}

#[test]
fn ways_that_part_at_their_opening_go_on_alone() {
    let mut script = Script::new(&[("= s", "econd;\nc"), ("a = ", "first;\nb")]);
    script.second_best = Some(('f', 's'));
    let mut engine = script.engine();
    let tokens = engine.tokenize("let a = ");
    let mut search = |max_tokens, ends: &mut dyn FnMut(&str) -> bool| {
        let limits = Limits { max_tokens, time: None };
        let ways = engine.hypotheses(Prompt::of(&tokens), Fork::Opening, 3, limits, ends, &Interrupt::new());
        let told = |way: Hypothesis| (way.text, way.finish, way.half_word);
        let mut ways: Vec<_> = ways.unwrap().into_iter().map(told).collect();
        ways.sort_by_key(|way| way.0.clone());
        ways
    };
    let told = |text: &str, finish, half_word| (text.to_owned(), finish, half_word);
    // No third one: it is unlikely.
    let [first, second] = [told("first;\nb", Finish::End, false), told("second;\nc", Finish::End, false)];
    assert_eq!(search(24, &mut |_| false), [first, second.clone()]);
    let ended = search(24, &mut |text| text.ends_with("first;"));
    assert_eq!(ended, [told("first;", Finish::Stop, false), second]);
    assert_eq!(
        search(3, &mut |_| false),
        [told("fir", Finish::Length, true), told("sec", Finish::Length, true)]
    );
}

#[test]
fn what_stands_before_the_cursor_is_begun_with_and_not_said_again() {
    let mut engine = load(&real_model::files());
    let mut tokens = engine.tokenize("def add(first, second):\n    return first + sec");
    let whole = tokens.clone();
    let begun = engine.take_back(&mut tokens, 1);
    assert!(!begun.is_empty() && tokens.len() + 1 == whole.len());
    let prompt = Prompt { tokens: &tokens, begun: &begun, least_logprob: None };
    let limits = Limits { max_tokens: 4, time: None };
    let run = engine.run(prompt, limits, &Interrupt::new(), &mut |_| Flow::Continue);
    assert!(run.as_ref().is_ok_and(|output| output.text.starts_with("ond")), "{run:?}");
}

#[test]
fn an_answer_that_is_cut_short_says_whether_its_last_word_is_whole() {
    let mut engine = Script::new(&[("a =", "b_2 c(größ"), ("d =", "e")]).engine();
    let mut cut = |prompt: &str, limits| {
        let tokens = engine.tokenize(prompt);
        let all = &mut |_: &str| Flow::Continue;
        let output = engine.run(Prompt::of(&tokens), limits, &Interrupt::new(), all).unwrap();
        (output.text, output.finish, output.half_word)
    };
    let late = Limits { max_tokens: 24, time: Some(std::time::Duration::ZERO) };
    assert_eq!(cut("a =", late), ("b".to_owned(), Finish::Deadline, true));
    assert_eq!(cut("a =b_", late), ("2".to_owned(), Finish::Deadline, false));
    assert_eq!(cut("a =b_2", late), (" ".to_owned(), Finish::Deadline, false));
    assert_eq!(cut("a =b_2 c(gr", late), (String::new(), Finish::Deadline, false));
    let short = Limits { max_tokens: 3, time: None };
    assert_eq!(cut("a =", short), ("b_2".to_owned(), Finish::Length, true));
    assert_eq!(cut("a =b_", short), ("2 c".to_owned(), Finish::Length, true));
    // What ends by itself is whole.
    assert_eq!(cut("d =", late), ("e".to_owned(), Finish::End, false));
}

#[test]
fn idle_time_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = tiny(folder.path());
    let prompt: Vec<u32> = (0..150).map(|n| 32 + (n * n) % 90).collect();
    let plain = said(&run(&mut engine, &prompt));
    for idle in [true, false] {
        engine.set_idle(idle);
        engine.forget();
        assert_eq!(engine.read(&prompt, &Interrupt::new()).unwrap(), prompt.len());
        let output = run(&mut engine, &prompt);
        assert_eq!((said(&output), output.cached_tokens), (plain.clone(), prompt.len() - 1));
    }
}

#[test]
fn an_interrupted_prompt_is_read_on_from_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = tiny(folder.path());
    let prompt: Vec<u32> = (0..300).map(|n| 32 + n % 90).collect();
    let interrupt = Interrupt::new();
    interrupt.trigger();
    let nothing = engine.run(Prompt::of(&prompt), LIMITS, &interrupt, &mut |_| Flow::Continue).unwrap();
    assert_eq!((nothing.finish, nothing.tokens), (Finish::Interrupted, 0));
    assert_eq!(engine.read(&prompt, &Interrupt::new()).unwrap(), prompt.len());
    assert_eq!(run(&mut engine, &prompt).cached_tokens, prompt.len() - 1);
}
