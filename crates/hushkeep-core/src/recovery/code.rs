//! The Reed–Solomon code of a recovery key: 16 groups of the key, then two check groups (spec §4.2).
//!
//! A group is an element of GF(2¹⁶) = GF(2)\[x\]/(x¹⁶ + x¹² + x³ + x + 1), with α = x. The 18 groups are the
//! coefficients of a polynomial, highest power first, that is divisible by (x + 1)(x + α). All of it, also
//! finding a wrong group, needs no other arithmetic than XOR and multiplication by α.

/// The groups that carry the key.
pub(super) const KEY_GROUPS: usize = 16;

/// All groups: the key's and the two checks.
pub(super) const GROUPS: usize = KEY_GROUPS + 2;

/// What the check groups say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every group fits the others.
    Whole,
    /// XORing `error` into the group at `index` makes all groups fit.
    OneWrong {
        /// Counted from 0.
        index: usize,
        /// The two bytes to XOR.
        error: [u8; 2],
    },
    /// No change of a single group makes them fit.
    ManyWrong,
}

/// The two check groups of a key: the remainder of key(x)·x² by x² + (α + 1)x + α.
pub(super) fn checks(key: &[u8; 2 * KEY_GROUPS]) -> [[u8; 2]; 2] {
    let (mut high, mut low) = (0, 0);
    for group in groups(key) {
        let quotient = group ^ high;
        high = low ^ quotient ^ times_alpha(quotient);
        low = times_alpha(quotient);
    }
    [high.to_be_bytes(), low.to_be_bytes()]
}

/// Evaluates the polynomial at 1 and at α. Both are 0 for a whole key. A single error `e` with `n` groups
/// behind it leaves `e` and `αⁿ·e`; as α⁰ … α¹⁷ differ, that tells `n`.
pub(super) fn judge(code_word: &[u8; 2 * GROUPS]) -> Verdict {
    let (mut at_one, mut at_alpha) = (0, 0);
    for group in groups(code_word) {
        at_one ^= group;
        at_alpha = times_alpha(at_alpha) ^ group;
    }
    if at_one == 0 && at_alpha == 0 {
        return Verdict::Whole;
    }
    let mut expected = at_one;
    for index in (0..GROUPS).rev() {
        if expected == at_alpha {
            return Verdict::OneWrong { index, error: at_one.to_be_bytes() };
        }
        expected = times_alpha(expected);
    }
    Verdict::ManyWrong
}

fn groups(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|group| u16::from_be_bytes(*group))
}

/// Multiplies by α, without a branch on the value.
fn times_alpha(value: u16) -> u16 {
    (value << 1) ^ (0x100b & (value >> 15).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(errors: &[(usize, u16)]) -> [u8; 2 * GROUPS] {
        let key: [u8; 32] = std::array::from_fn(|i| (i * 41 + 7).to_le_bytes()[0]);
        let mut word = [0; 2 * GROUPS];
        word[..32].copy_from_slice(&key);
        word[32..].copy_from_slice(checks(&key).as_flattened());
        for (index, error) in errors {
            let [high, low] = error.to_be_bytes();
            word[2 * index] ^= high;
            word[2 * index + 1] ^= low;
        }
        word
    }

    #[test]
    fn alpha_generates_the_whole_field() {
        let mut value = times_alpha(1);
        let mut order = 1;
        while value != 1 {
            value = times_alpha(value);
            order += 1;
        }
        assert_eq!(order, 65535);
    }

    #[test]
    fn any_one_wrong_group_is_named_and_repaired() {
        assert_eq!(judge(&word(&[])), Verdict::Whole);
        for index in 0..GROUPS {
            for error in [1, 2, 0x000f, 0x0f00, 0x1234, 0x8000, 0xffff] {
                let repair = Verdict::OneWrong { index, error: u16::to_be_bytes(error) };
                assert_eq!(judge(&word(&[(index, error)])), repair);
            }
        }
    }

    /// The figures of spec §4.3. The code is linear, so one key and one first error stand for all.
    #[test]
    fn two_wrong_groups_are_never_whole_and_pass_for_one_in_16_of_65535_cases() {
        for (first, second) in [(0, 1), (0, 17), (7, 8), (15, 16), (16, 17)] {
            let mut taken_for_one = 0;
            for error in 1..=u16::MAX {
                match judge(&word(&[(first, 1), (second, error)])) {
                    Verdict::Whole => panic!("two errors pass for none"),
                    Verdict::OneWrong { index, .. } => {
                        assert!(index != first && index != second);
                        taken_for_one += 1;
                    }
                    Verdict::ManyWrong => {}
                }
            }
            assert_eq!(taken_for_one, 16);
        }
    }

    #[test]
    fn exchanged_groups_are_noticed_and_never_repaired() {
        let whole = word(&[]);
        for first in 0..GROUPS {
            for second in first + 1..GROUPS {
                let mut exchanged = whole;
                exchanged.as_chunks_mut::<2>().0.swap(first, second);
                assert_eq!(judge(&exchanged), Verdict::ManyWrong, "{first} {second}");
            }
        }
    }
}
