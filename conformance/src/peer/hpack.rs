//! Header blocks, written by hand: literals that no table remembers.

/// The content type of gRPC.
pub const GRPC: (&str, &str) = ("content-type", "application/grpc");
/// The status of every gRPC answer.
pub const OK: (&str, &str) = (":status", "200");

/// Encodes headers.
#[must_use]
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    headers.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// Encodes one header.
#[must_use]
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// Changes the size of the dynamic table.
#[must_use]
pub fn table_size(size: usize) -> Vec<u8> {
    integer(0x20, 5, size)
}

/// A header by its index in the tables.
#[must_use]
pub fn indexed(index: usize) -> Vec<u8> {
    integer(0x80, 7, index)
}

fn string(text: &str) -> Vec<u8> {
    [integer(0, 7, text.len()), text.as_bytes().to_vec()].concat()
}

/// An integer that begins in the last `bits` of a byte (RFC 7541, 5.1).
fn integer(first: u8, bits: u32, value: usize) -> Vec<u8> {
    let most = (1usize << bits) - 1;
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap_or_default();
    if value < most {
        return vec![first | byte(value)];
    }
    let (mut bytes, mut rest) = (vec![first | byte(most)], value - most);
    while rest >= 0x80 {
        bytes.push(byte(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    bytes.push(byte(rest));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples of RFC 7541, C.1.
    #[test]
    fn integers_are_those_of_the_standard() {
        assert_eq!(integer(0, 5, 10), [0b0_1010]);
        assert_eq!(integer(0, 5, 1337), [0b1_1111, 0b1001_1010, 0b0000_1010]);
        assert_eq!(integer(0, 8, 42), [42]);
    }
}
