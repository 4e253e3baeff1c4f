//! Instructions of classic BPF (Documentation/networking/filter.rst), by which the kernel leaves out what a socket need not hear.

#![forbid(unsafe_code)]

pub(super) use libc::sock_filter as Instruction;

/// How much of a message is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Byte,
    Half,
    Word,
}

impl Size {
    fn code(self) -> u32 {
        match self {
            Self::Byte => libc::BPF_B,
            Self::Half => libc::BPF_H,
            Self::Word => libc::BPF_W,
        }
    }
}

fn instruction(code: u32, yes: u8, no: u8, k: u32) -> Instruction {
    Instruction { code: u16::try_from(code).unwrap_or_default(), jt: yes, jf: no, k }
}

/// Loads from a place in the message, in network order.
pub(super) fn load(size: Size, at: u32) -> Instruction {
    instruction(libc::BPF_LD | size.code() | libc::BPF_ABS, 0, 0, at)
}

/// Loads for whom a frame is, as packet(7) tells it: `PACKET_OUTGOING` is this host's own.
pub(super) fn load_packet_type() -> Instruction {
    load(Size::Byte, (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned())
}

/// Loads from a place behind the one that the index means.
pub(super) fn load_behind_index(size: Size, by: u32) -> Instruction {
    instruction(libc::BPF_LD | size.code() | libc::BPF_IND, 0, 0, by)
}

/// Loads a number.
pub(super) fn load_number(number: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_IMM, 0, 0, number)
}

/// Sets the index to a number.
pub(super) fn index_number(number: u32) -> Instruction {
    instruction(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, 0, 0, number)
}

/// Sets the index to what was loaded.
pub(super) fn index_loaded() -> Instruction {
    instruction(libc::BPF_MISC | libc::BPF_TAX, 0, 0, 0)
}

/// Leaves out so many instructions if what was loaded is `with`, and so many if it is not.
pub(super) fn compare(yes: u8, no: u8, with: u32) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JEQ, yes, no, with)
}

/// Lets the message pass.
pub(super) fn accept() -> Instruction {
    instruction(libc::BPF_RET, 0, 0, u32::MAX)
}

/// Leaves the message out.
pub(super) fn refuse() -> Instruction {
    instruction(libc::BPF_RET, 0, 0, 0)
}
