//! Messages of rtnetlink that are kept whole.
//!
//! Who has to put a route back as it was must not lose an attribute because nobody here knows its meaning. So nothing
//! of such a message is interpreted but what is asked for: it is a header of twelve bytes (`struct rtmsg`, `struct
//! fib_rule_hdr`; rtnetlink(7)) and attributes by number.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write;

use rtnetlink::packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable,
};

/// Length of the header.
pub const HEADER: usize = 12;

/// Bits of an attribute's number that say how its value is to be read (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_FLAGS: u16 = 0xc000;

/// A message about a route or a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// `RTM_*`.
    pub kind: u16,
    /// What all messages of the kind have.
    pub header: [u8; HEADER],
    /// Number, with its flags, and value. The kernel gives each number once, and asks for no order.
    attributes: BTreeMap<u16, Vec<u8>>,
}

impl Exact {
    /// A message of that kind without attributes.
    #[must_use]
    pub fn new(kind: u16, header: [u8; HEADER]) -> Self {
        Self { kind, header, attributes: BTreeMap::new() }
    }

    /// From the bytes behind netlink's own header.
    #[must_use]
    pub fn from_bytes(kind: u16, bytes: &[u8]) -> Option<Self> {
        let mut message = Self::new(kind, bytes.get(..HEADER)?.try_into().ok()?);
        for (number, value) in attributes(bytes.get(HEADER..)?) {
            message.attributes.insert(number, value.to_vec());
        }
        Some(message)
    }

    /// The bytes behind netlink's own header.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        for (number, value) in &self.attributes {
            let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
            bytes.extend(length.to_ne_bytes());
            bytes.extend(number.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// The same as text.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.to_bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// From [`Self::to_hex`].
    #[must_use]
    pub fn from_hex(kind: u16, text: &str) -> Option<Self> {
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
        let bytes: Option<Vec<u8>> =
            digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
        Self::from_bytes(kind, &bytes?)
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, number: u16) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(key, _)| *key & !TYPE_FLAGS == number);
        found.map(|(_, value)| value.as_slice())
    }

    /// The value of an attribute that is a number of 32 bits.
    #[must_use]
    pub fn number(&self, number: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.get(number)?.try_into().ok()?))
    }

    /// Sets an attribute, or removes it.
    pub fn set(&mut self, number: u16, value: Option<Vec<u8>>) {
        self.attributes.retain(|key, _| *key & !TYPE_FLAGS != number);
        if let Some(value) = value {
            self.attributes.insert(number, value);
        }
    }
}

/// The attributes that follow each other in `bytes`, as far as they are whole.
pub(super) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = bytes.get(4..length) else { break };
        found.push((u16::from_ne_bytes([c, d]), value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

impl NetlinkSerializable for Exact {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.to_bytes().len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.to_bytes());
    }
}

impl NetlinkDeserializable for Exact {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Self::from_bytes(header.message_type, payload)
            .ok_or_else(|| DecodeError::from("a message without a header"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_attribute_is_lost(
            header in any::<[u8; HEADER]>(),
            values in proptest::collection::btree_map(any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let message = Exact { kind: 24, header, attributes: values };
            let (bytes, hex) = (message.to_bytes(), message.to_hex());
            prop_assert_eq!(Exact::from_bytes(24, &bytes), Some(message.clone()));
            prop_assert_eq!(Exact::from_hex(24, &hex), Some(message));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,40}") {
            if let Some(message) = Exact::from_bytes(24, &bytes) {
                let _ = message.number(15);
            }
            let _ = Exact::from_hex(24, &text);
        }
    }

    #[test]
    fn an_attribute_is_found_whatever_its_flags() {
        let mut message = Exact::new(24, [0; HEADER]);
        message.attributes.insert(8 | 0x8000, vec![1]);
        assert_eq!(message.get(8), Some(&[1][..]));
        message.set(8, None);
        assert_eq!(message.to_bytes().len(), HEADER);
    }
}
