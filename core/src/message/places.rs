//! Where the parts of a message are.

/// Returns the offset of each part behind the parts before it, and the end of the last, for parts
/// of these sizes and alignments.
#[must_use]
pub const fn places<const N: usize>(parts: [(usize, usize); N]) -> ([usize; N], usize) {
    let (mut places, mut end, mut index) = ([0; N], 0_usize, 0);
    while index < N {
        let (size, align) = parts[index];
        places[index] = end.next_multiple_of(align);
        end = places[index] + size;
        index += 1;
    }
    (places, end)
}

/// Returns the largest alignment of these parts; 1 if there is none.
#[must_use]
pub const fn most_aligned(parts: &[(usize, usize)]) -> usize {
    let (mut most, mut index) = (1, 0);
    while index < parts.len() {
        if parts[index].1 > most {
            most = parts[index].1;
        }
        index += 1;
    }
    most
}
