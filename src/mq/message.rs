//! Messages in the text form that `dmpmqmsg` reads and writes: `*` comments, `A` attributes, then the bytes, in
//! hexadecimal behind `X` or as a quoted text behind `S`.

#![forbid(unsafe_code)]

/// A file with one message.
pub(super) fn file(body: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let digits: String = body.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect();
    format!("* Version: 1.0\nA VER 2\nX {digits}\n")
}

/// The bytes of each message in a file.
pub(super) fn bodies(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut in_body = false;
    for line in text.split(|byte| *byte == b'\n') {
        let Some((kind, rest)) = line.split_first() else { continue };
        match kind {
            b'X' | b'S' => {
                if !in_body {
                    found.push(Vec::new());
                    in_body = true;
                }
                let bytes = if *kind == b'X' { from_digits(rest) } else { from_quotes(rest) };
                if let Some(body) = found.last_mut() {
                    body.extend(bytes);
                }
            }
            // Attributes, or an explicit beginning.
            b'A' | b'N' => in_body = false,
            _ => {}
        }
    }
    found
}

fn from_digits(text: &[u8]) -> Vec<u8> {
    let digits = text.trim_ascii().iter().map_while(|byte| char::from(*byte).to_digit(16));
    let digits: Vec<u8> = digits.filter_map(|digit| u8::try_from(digit).ok()).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect()
}

fn from_quotes(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii();
    let inner = text.strip_prefix(b"\"").unwrap_or(text);
    inner.strip_suffix(b"\"").unwrap_or(inner).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_told_from_one_another() {
        let text = b"* DMPMQMSG\r\nA VER 2\nA RPT 0\nX 6162\nX 63\n\nA VER 2\nS \"d e\"\nA VER 2\n";
        assert_eq!(bodies(text), [b"abc".to_vec(), b"d e".to_vec()]);
        assert_eq!(bodies(b""), Vec::<Vec<u8>>::new());
        assert_eq!(bodies(b"X 6162   ab\r\n"), [b"ab".to_vec()]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(body in proptest::collection::vec(any::<u8>(), 1..40)) {
            prop_assert_eq!(bodies(file(&body).as_bytes()), [body]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = bodies(&bytes);
        }
    }
}
