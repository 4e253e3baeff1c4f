//! The frame by which a switch learns behind which port a hardware address is, without any IP address.
//!
//! It is a reverse ARP request (RFC 903) for the address itself, which nobody answers: what hypervisors send for a guest
//! that has migrated.

#![forbid(unsafe_code)]

use super::arp::Mac;

/// Ethernet type of reverse ARP (RFC 903).
const ETHERTYPE: u16 = 0x8035;
const REQUEST_REVERSE: u16 = 3;
/// Shortest Ethernet frame, without its checksum.
const SHORTEST: usize = 60;

/// A broadcast frame whose source is `mac`.
#[must_use]
pub fn here_is(mac: Mac) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SHORTEST);
    frame.extend([0xff; 6]);
    frame.extend(mac);
    frame.extend(ETHERTYPE.to_be_bytes());
    // Hardware type Ethernet, protocol IPv4, address lengths 6 and 4.
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(REQUEST_REVERSE.to_be_bytes());
    for hardware in [mac, mac] {
        frame.extend(hardware);
        frame.extend([0; 4]);
    }
    frame.resize(SHORTEST, 0);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_frame_is_what_hypervisors_send() {
        let frame = here_is([2, 0, 0, 0, 0, 1]);
        let head = [
            255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3, 2,
            0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0,
        ];
        assert_eq!(frame[..42], head);
        assert_eq!(frame[42..], [0; 18]);
    }

    proptest! {
        #[test]
        fn it_comes_from_the_address_and_names_no_other(mac in any::<Mac>()) {
            let frame = here_is(mac);
            prop_assert_eq!(frame.len(), 60);
            for at in [6, 22, 32] {
                prop_assert_eq!(&frame[at..at + 6], &mac);
            }
        }
    }
}
