//! Loops: text that repeats itself is cut after its first round, or dropped if there is nothing else.

use super::Written;

/// A line may stand this often.
const SAME_LINES: usize = 3;

pub fn apply(_: &Written, text: &str) -> String {
    if text.lines().any(repeats_within) {
        return String::new();
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for period in 1..=3 {
        let Some(start) = first_loop(&lines, period) else { continue };
        return lines[..start + period].concat();
    }
    text.to_owned()
}

/// Where a run of `period` lines begins that stands again right after itself, often enough to be a loop.
fn first_loop(lines: &[&str], period: usize) -> Option<usize> {
    let rounds = if period == 1 { SAME_LINES } else { 2 };
    (0..lines.len()).find(|start| {
        let run = |round: usize| lines.get(start + round * period..start + (round + 1) * period);
        let same = |a: &[&str], b: &[&str]| a.iter().zip(b).all(|(a, b)| a.trim() == b.trim());
        let says_something = run(0).is_some_and(|run| run.iter().any(|line| line.trim().len() > 2));
        says_something
            && (1..=rounds)
                .all(|round| run(round).is_some_and(|next| run(0).is_some_and(|first| same(first, next))))
    })
}

/// Whether a line ends in a part of it, five times over (three times if the part is long).
fn repeats_within(line: &str) -> bool {
    let characters: Vec<char> = line.trim_end().chars().collect();
    (3..=characters.len() / 3).any(|length| {
        let rounds = if length >= 10 { 3 } else { 6 };
        let Some(start) = characters.len().checked_sub(length * rounds) else { return false };
        let tail = &characters[start..];
        let varied = tail[..length].iter().any(|character| *character != tail[0]);
        varied && tail.chunks(length).all(|chunk| chunk == &tail[..length])
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::check;
    use super::apply;

    #[test]
    fn a_loop_is_cut() {
        check(apply, "$0", "a();\nb(1);\nb(1);\nb(1);\nb(1);\n", "a();\nb(1);\n");
        check(apply, "$0", "a(1);\nb(2);\na(1);\nb(2);\na(1);\nb(2);\n", "a(1);\nb(2);\n");
        check(apply, "$0", "a(1);\nb(2);\na(1);\nb(2);\n", "a(1);\nb(2);\na(1);\nb(2);\n");
        check(apply, "$0", "foo.bar.bar.bar.bar.bar.bar", "");
        check(apply, "$0", "------------------------------", "------------------------------");
        check(apply, "$0", "vec![1, 2, 3]", "vec![1, 2, 3]");
    }
}
