//! Bodies too long to keep: a repeatable pattern, and a digest to compare by.

/// Bytes of a body that are kept; of longer ones only length and hash are known.
pub const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Length of [`pattern`]'s period: prime, so that a lost or doubled block of any usual size shows in the hash.
const PERIOD: usize = 65_521;

/// What is known of a body that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The body, or its first [`KEPT_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
    /// All of its length.
    pub length: u64,
    /// FNV-1a over all of it, in words of eight bytes as they came; see [`Body::push`].
    pub hash: u64,
    rest: Vec<u8>,
}

impl Default for Body {
    fn default() -> Body {
        Body { bytes: Vec::new(), length: 0, hash: 0xcbf2_9ce4_8422_2325, rest: Vec::new() }
    }
}

impl Body {
    /// More of the body. How it is cut does not change the hash.
    pub fn push(&mut self, data: &[u8]) {
        let keep = data.len().min(KEPT_BYTES_MAX - self.bytes.len());
        self.bytes.extend_from_slice(&data[..keep]);
        self.length += data.len() as u64;
        let mut data = data;
        if !self.rest.is_empty() {
            let missing = (8 - self.rest.len()).min(data.len());
            self.rest.extend_from_slice(&data[..missing]);
            data = &data[missing..];
            if self.rest.len() < 8 {
                return;
            }
            let word = std::mem::take(&mut self.rest);
            self.mix(&word);
        }
        let words = data.chunks_exact(8);
        self.rest.extend_from_slice(words.remainder());
        for word in words {
            self.mix(word);
        }
    }

    fn mix(&mut self, word: &[u8]) {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// Length, hash and unhashed end as one short text: equal bodies have equal names.
    pub fn name(&self) -> String {
        format!("{} bytes {:016x} {:02x?}", self.length, self.hash, self.rest)
    }

    /// The kept bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Calls `sink` with a repeatable body of `length` bytes, piece by piece, until it fails.
pub fn pattern<E>(length: u64, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let period = period();
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(PERIOD);
        sink(&period[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}

/// [`Body::name`] of the pattern of that length.
pub fn pattern_name(length: u64) -> String {
    let mut body = Body::default();
    let done: Result<(), ()> = pattern(length, |piece| {
        body.push(piece);
        Ok(())
    });
    done.expect("this sink never fails");
    body.name()
}

fn period() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(PERIOD + 8);
    while bytes.len() < PERIOD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(PERIOD);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_same_name_however_it_is_cut() {
        let text: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        let mut whole = Body::default();
        whole.push(&text);
        for size in [1, 3, 8, 13, 999] {
            let mut cut = Body::default();
            text.chunks(size).for_each(|piece| cut.push(piece));
            assert_eq!(cut.name(), whole.name(), "cut in pieces of {size}");
        }
    }
}
