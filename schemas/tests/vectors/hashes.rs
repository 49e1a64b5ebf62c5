//! The official vectors of BLAKE3: all three modes, since the chain uses `derive_key` and the others would be a mistake.

use super::{files, json, text, unhex};

#[test]
fn blake3_in_all_three_modes() {
    assert_eq!(files("blake3").len(), 1);
    let set = json("blake3", "test_vectors.json");
    let key: [u8; 32] = text(&set, "key").as_bytes().try_into().unwrap();
    let context = text(&set, "context_string");
    let cases = set["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 35);
    for case in cases {
        let length = case["input_len"].as_u64().unwrap();
        let input: Vec<u8> = (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect();
        for (field, mut hasher) in [
            ("hash", blake3::Hasher::new()),
            ("keyed_hash", blake3::Hasher::new_keyed(&key)),
            ("derive_key", blake3::Hasher::new_derive_key(context)),
        ] {
            hasher.update(&input);
            let expected = unhex(case, field);
            let mut long = vec![0; expected.len()];
            hasher.finalize_xof().fill(&mut long);
            assert_eq!(long, expected, "{field} of {length}");
            assert_eq!(
                hasher.finalize().as_bytes()[..],
                expected[..32],
                "{field} of {length}"
            );
        }
    }
}
