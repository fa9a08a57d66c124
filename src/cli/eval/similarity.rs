//! How near an answer is to what was expected.

/// 1 − edit distance / length of the longer, in characters: 1 for equal texts, 0 for those that share nothing.
pub fn edit_similarity(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let longer = a.len().max(b.len());
    if longer == 0 {
        return 1.0;
    }
    // Levenshtein's distance, one row of the table at a time.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    1.0 - row[b.len()] as f64 / longer as f64
}

/// Characters at the beginning that both have.
pub fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_counts_edits() {
        let check = |a, b, expected: f64| {
            assert!(
                (edit_similarity(a, b) - expected).abs() < 1e-9,
                "{a:?} {b:?}: {}",
                edit_similarity(a, b)
            );
            assert!((edit_similarity(b, a) - expected).abs() < 1e-9, "{b:?} {a:?}");
        };
        check("", "", 1.0);
        check("abc", "abc", 1.0);
        check("abc", "", 0.0);
        check("kitten", "sitting", 1.0 - 3.0 / 7.0);
        check("größe", "große", 0.8);
        assert_eq!(common_prefix("let a = 1;", "let ab = 1;"), 5);
    }
}
